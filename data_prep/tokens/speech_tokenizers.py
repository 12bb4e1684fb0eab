"""Speech tokenizers: what they have in common, and how a token folder gives its own back.

Tokens are numbered as fairseq's Dictionary does (`<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3, then
dict.txt line by line) and every row ends with `</s>`; the task puts `<s>` in front.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from data_prep.audio.frames import FloatArray
from data_prep.errors import CodedError
from data_prep.tokens.folder import SpecialIds, Tokens, read_card
from data_prep.tokens.kmeans_tokenizer import KMeansTokenizer
from data_prep.tokens.opened import check_tokenizer
from data_prep.tokens.vq_wav2vec import VqWav2VecTokenizer


class SpeechTokenizer(Protocol):
    """What a token folder's tokenizer does, at training and at inference."""

    @property
    def specials(self) -> SpecialIds:
        """Ids of the symbols that are no codes."""

    @property
    def sample_rate(self) -> int:
        """The rate, in Hz, of the waveforms that `encode` takes."""

    def encode(self, waveform: FloatArray) -> Tokens:
        """(n_samples,) -> (n_tokens,) int64 ids that end with `</s>`."""


TOKENIZERS: dict[str, Callable[[Path], SpeechTokenizer]] = {
    "kmeans": KMeansTokenizer,
    "vq-wav2vec": VqWav2VecTokenizer,
}


def load_speech_tokenizer(folder: str | Path) -> SpeechTokenizer:
    """The tokenizer of `DATA_DIR/speech`. Raises ValueError when the folder holds none."""
    folder = Path(folder)
    quantizer = read_card(folder)["settings"].get("quantizer")
    if quantizer not in TOKENIZERS:
        raise CodedError(
            f"{folder}: holds no speech tokenizer; name DATA_DIR/speech", "tokenizer-missing"
        )
    check_tokenizer(folder)
    return TOKENIZERS[quantizer](folder)
