"""The waveform leaf: audio files as mono 16 kHz samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from data_prep.audio.frames import FRAME_MS, FloatArray, read_audio
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.collate import pad_right
from emo_fairseq.errors import UsageError

# One analysis window, which is also the reach of wav2vec 2.0's convolutions.
MIN_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000


class WaveformDataset(FairseqDataset):
    """Waveforms, each file decoded once a batch.

    Args:
        paths: N files, None where the row has no audio.
        n_samples: (N,) their lengths at 16 kHz, as the manifest says; used for batching only.
        max_samples: the end of a longer file is cut.
        names: N names of the rows, for messages.

    A row without audio, and the end of one shorter than a window, is zeros; the former is not
    ``present``, so no fusion looks at it.
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

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        heard = self._read(index)
        if heard is None:
            return torch.zeros(MIN_SAMPLES), False
        samples = torch.from_numpy(heard[: self.max_samples])
        missing = MIN_SAMPLES - len(samples)
        if missing > 0:
            samples = torch.nn.functional.pad(samples, (0, missing))
        return samples, True

    def _read(self, index: int) -> FloatArray | None:
        path = self.paths[index]
        if path is None:
            return None
        try:
            return read_audio(path, SAMPLE_RATE)
        except ValueError as error:
            raise UsageError(f"{self.names[index]}: {error}") from error

    def __len__(self) -> int:
        return len(self.paths)

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``waveform`` and ``padding_mask`` (B, T), ``present`` (B,)."""
        waveform, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        return {"waveform": waveform, "padding_mask": padding_mask, "present": present}
