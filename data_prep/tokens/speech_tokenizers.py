"""Protocol of speech tokenizers, and loading one from a token folder.

Ids are those of fairseq's Dictionary (`<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then the lines of
dict.txt). Every row ends with `</s>`; the task prepends `<s>`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from data_prep.audio.decoding import FloatArray
from data_prep.errors import CodedError
from data_prep.tokens.checking import check_tokenizer
from data_prep.tokens.folder import SpecialIds, Tokens, read_card
from data_prep.tokens.kmeans_tokenizer import KMeansTokenizer
from data_prep.tokens.vq_wav2vec import VqWav2VecTokenizer


class SpeechTokenizer(Protocol):
    """Protocol of the tokenizer of a token folder, for training and inference."""

    @property
    def specials(self) -> SpecialIds:
        """Ids of the special symbols."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz of the waveforms for `encode`."""

    def encode(self, waveform: FloatArray) -> Tokens:
        """Encode samples (n_samples,) to int64 ids (n_tokens,) that end with `</s>`."""


TOKENIZERS: dict[str, Callable[[Path], SpeechTokenizer]] = {
    "kmeans": KMeansTokenizer,
    "vq-wav2vec": VqWav2VecTokenizer,
}


def load_speech_tokenizer(folder: str | Path) -> SpeechTokenizer:
    """Load the tokenizer of `DATA_DIR/speech/<name>`. Raises ValueError if there is none."""
    folder = Path(folder)
    quantizer = read_card(folder)["settings"].get("quantizer")
    if quantizer not in TOKENIZERS:
        raise CodedError(
            f"{folder}: holds no speech tokenizer; name DATA_DIR/speech/NAME", "tokenizer-missing"
        )
    check_tokenizer(folder)
    return TOKENIZERS[quantizer](folder)
