"""The codes of a corpus's rows, computed chunk by chunk and none of them twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.code_store import CodeStore
from data_prep.tokens.folder import sequence_digest
from data_prep.tokens.sounds import Sound
from data_prep.tokens.vq_wav2vec import Codes, VqWav2Vec

CHUNK_ROWS = 256

Sounds = Sequence[Sound | None]


class CorpusCodes:
    """Sounds to codes, by way of the store.

    Args:
        store: where they are kept.
        checkpoint: the model's, which is opened only if something is left to compute.
        settings: the tokenizer's; of some of them the codes are made.
        batch_seconds: of audio in a batch, padding included.
    """

    def __init__(
        self,
        store: CodeStore,
        checkpoint: str | Path,
        settings: Mapping[str, Any],
        batch_seconds: float,
    ) -> None:
        self._store = store
        self._checkpoint = checkpoint
        self._made_by = [(name, str(settings[name])) for name in ("checkpoint", "max_seconds")]
        self._max_seconds: float = settings["max_seconds"]
        self._batch_seconds = batch_seconds

    @cached_property
    def model(self) -> VqWav2Vec:
        """The quantizer. Raises ValueError if the checkpoint is none of vq-wav2vec."""
        return VqWav2Vec(self._checkpoint, self._max_seconds)

    def of(self, split: str, sounds: Sounds) -> Iterator[Codes]:
        """Codes (T, G) of each row of a split; T is 0 for one without audio, or too short."""
        with tqdm(desc=f"speech {split}", total=len(sounds), disable=None) as progress:
            for chunk in _chunks(sounds):
                rows = self._store.get(self._digest(chunk), partial(self._compute, chunk))
                progress.update(len(rows))
                yield from rows

    def forget(self, sounds: Sounds) -> None:
        """Keep the codes of a split no longer."""
        self._store.forget(self._digest(chunk) for chunk in _chunks(sounds))

    def _digest(self, chunk: Sounds) -> str:
        contents = [("sound", sound and sound.content) for sound in chunk]
        return sequence_digest([*self._made_by, *contents])

    def _compute(self, chunk: Sounds) -> list[Codes]:
        heard = {row: sound for row, sound in enumerate(chunk) if sound}
        by_length = sorted(heard, key=lambda row: heard[row].n_samples)  # for little padding
        waveforms = (heard[row].read(SAMPLE_RATE) for row in by_length)
        codes = self.model.codes(waveforms, self._batch_seconds)
        found = dict(zip(by_length, codes, strict=True))
        silent = np.empty((0, self.model.n_groups), np.int32)
        return [found.get(row, silent) for row in range(len(chunk))]


def _chunks(sounds: Sounds) -> Iterator[Sounds]:
    for first in range(0, len(sounds), CHUNK_ROWS):
        yield sounds[first : first + CHUNK_ROWS]
