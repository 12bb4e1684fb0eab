"""The waveform leaf: audio files as mono 16 kHz samples."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.audio.loading import (
    WINDOW_MS,
    AudioError,
    FloatArray,
    file_error,
    load_with_warnings,
)
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.collate import pad_right
from emo_fairseq.errors import UsageError

# One analysis window, which is also the reach of wav2vec 2.0's convolutions.
MIN_SAMPLES = SAMPLE_RATE * WINDOW_MS // 1000
_MOST_WARNINGS = 10  # rows that are warned of one by one

logger = logging.getLogger(__name__)


class WaveformDataset(FairseqDataset):
    """Waveforms, each file decoded once a batch.

    Args:
        paths: N files, None where the row has no audio.
        n_samples: (N,) their lengths at 16 kHz, as the manifest says; used for batching only.
        max_samples: the end of a longer file is cut.
        names: N names of the rows, for messages.

    A row without audio is a window of zeros that is not ``present``, so no fusion looks at it. One
    that cannot be used raises a `UsageError`; one that is odd, such as digital silence, is warned
    of once.
    """

    def __init__(
        self,
        paths: Sequence[Path | None],
        n_samples: np.ndarray,
        max_samples: int,
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.names = names
        self.paths = paths
        self.max_samples = max_samples
        self.sizes = np.clip(n_samples, MIN_SAMPLES, max_samples)
        # Shared, for the worker processes of an epoch are new ones.
        self._warned = torch.zeros(len(paths), dtype=torch.bool).share_memory_()

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples = self._read(index)
        if samples is None:
            return torch.zeros(MIN_SAMPLES), False
        return torch.from_numpy(samples[: self.max_samples]), True

    def _read(self, index: int) -> FloatArray | None:
        path = self.paths[index]
        if path is None:
            return None
        try:
            samples, warnings = load_with_warnings(path)
        except AudioError as error:
            raise UsageError(f"{self.names[index]}: {file_error(path, error)}") from error
        if warnings and not self._warned[index]:
            self._warn(index, f"{path}: {'; '.join(warnings)}")
        return samples

    def _warn(self, index: int, message: str) -> None:
        self._warned[index] = True
        n_warned = int(self._warned.sum())
        if n_warned <= _MOST_WARNINGS:
            logger.warning("%s: %s", self.names[index], message)
        if n_warned == _MOST_WARNINGS:
            logger.warning("further such rows are not logged; data_prep.validate lists them all")

    def __len__(self) -> int:
        return len(self.paths)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``waveform`` and ``padding_mask`` (B, T), ``present`` (B,)."""
        waveform, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        return {"waveform": waveform, "padding_mask": padding_mask, "present": present}
