"""Frames of pretrained encoders, `hf:FOLDER` or `fairseq:CHECKPOINT`, of speech or text.

The one module of data_prep that knows the plugin: it imports it when such an encoder is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data_prep.audio.segment import audio_of
from data_prep.errors import CodedError
from data_prep.features.frame_files import FloatArray
from data_prep.schema import SAMPLE_RATE, Utterance
from data_prep.tokens.folder import sequence_digest

if TYPE_CHECKING:
    from fairseq.data import FairseqDataset

    from emo_fairseq.encoder_spec import EncoderSpec
    from emo_fairseq.models.encoders import ModalityEncoder

logger = logging.getLogger(__name__)

_MAX_TOKENS = 512  # where the encoder sets no limit


@dataclass(frozen=True)
class PretrainedFeatures:
    """Frames of one encoder over the splits of a data dir.

    `layer` is `last`, `mean` or a number; audio is cut at `max_seconds`, tokens where the encoder's
    reach ends. Tokens come from DATA_DIR/<modality>, made by the encoder's own tokenizer; audio
    from `audio_root`. `memory` is the file that remembers the digests of audio files.
    """

    data_dir: Path
    audio_root: Path
    modality: str
    spec: str
    layer: str
    max_seconds: float
    memory: Path

    @cached_property
    def card(self) -> EncoderSpec:
        """What is known of the encoder. Raises ValueError if there is none, or of another kind."""
        from emo_fairseq import pretrained
        from emo_fairseq.encoder_spec import check_spec

        card = pretrained.describe(self.modality, check_spec(self.modality, self.spec))
        if card.input not in ("tokens", "waveform"):
            raise CodedError(
                f"{self.spec}: reads {card.input}, not tokens or audio; take another",
                "encoder-unsupported",
            )
        return card

    @property
    def settings(self) -> dict[str, Any]:
        """What the frames depend on besides the data; where the files lie is none of it."""
        is_audio = self.card.input == "waveform"
        architecture = sorted(self.card.architecture.items())
        return {
            "features": "pretrained",
            "modality": self.modality,
            "weights": self.card.weights,
            "architecture": sequence_digest(
                (name, repr(value)) for name, value in architecture if name != "_name_or_path"
            ),
            "layer": self.layer,
            **({"max_seconds": self.max_seconds} if is_audio else {"max_tokens": self._reach}),
        }

    @property
    def _reach(self) -> int:
        return min(_MAX_TOKENS, self.card.max_tokens or _MAX_TOKENS)

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """Digest of the audio files or of the tokens."""
        from emo_fairseq.data.encoded import content_digest

        return content_digest(self._leaf(split, rows), self.memory)

    def frames(self, split: str, rows: Sequence[Utterance]) -> Iterator[FloatArray]:
        """(T, C) frames of each row, T = 0 where it has no source."""
        from emo_fairseq.models.encode import (
            batch_budget,
            encode_rows,
            encoding_device,
        )

        device = encoding_device()
        budget = batch_budget(self.card.input, device)
        return encode_rows(self._encoder, self._leaf(split, rows), budget, device)

    @cached_property
    def _encoder(self) -> ModalityEncoder:
        from emo_fairseq import pretrained
        from emo_fairseq.models.encoders import ModalityEncoder

        backbone = pretrained.build(self.card)
        pretrained.load(backbone, self.card)
        encoder = ModalityEncoder(backbone, self.layer)
        encoder.freeze()
        return encoder

    def _leaf(self, split: str, rows: Sequence[Utterance]) -> FairseqDataset:
        return (
            self._waveforms(split, rows)
            if self.card.input == "waveform"
            else self._tokens(split, rows)
        )

    def _waveforms(self, split: str, rows: Sequence[Utterance]) -> FairseqDataset:
        from emo_fairseq.data.audio import WaveformDataset

        limit = int(self.max_seconds * SAMPLE_RATE)
        audio = [audio_of(row, self.audio_root) for row in rows]
        n_samples = np.array([row.n_samples or 0 for row in rows])
        _say_cuts(split, n_samples > limit, f"{self.max_seconds:g} seconds")
        names = [f"{split}.tsv: {row.id}" for row in rows]
        return WaveformDataset(audio, n_samples, limit, names)

    def _tokens(self, split: str, rows: Sequence[Utterance]) -> FairseqDataset:
        from emo_fairseq.data.tokens import (
            TokenDataset,
            open_binarized,
        )
        from emo_fairseq.data.vocabulary import read_vocabulary
        from emo_fairseq.pretrained.vocabulary_check import check_knows

        folder = self.data_dir / self.modality
        vocabulary = read_vocabulary(folder)
        if vocabulary is None:
            raise CodedError(
                f"{folder}: holds no tokens; run `python -m data_prep.tokenize_{self.modality} "
                f"{self.data_dir}` with the tokenizer of {self.spec}",
                "tokens-missing",
            )
        check_knows({self.modality: self.card}, {self.modality: vocabulary})
        source = open_binarized(folder, split, rows)
        lengths = np.asarray(source.sizes)
        present = [row.text if self.modality == "text" else row.audio for row in rows]
        there = np.array([value is not None for value in present], dtype=bool)
        _say_cuts(split, lengths + 1 > self._reach, f"{self._reach} tokens")
        return TokenDataset(source, lengths, there, vocabulary.specials, self._reach)


def _say_cuts(split: str, cut: np.ndarray, limit: str) -> None:
    if cut.any():
        logger.warning("%s: %d rows are cut at %s", split, int(cut.sum()), limit)
