"""The log-mel leaf: filterbank frames, computed or stored, in units of the corpus's statistics."""

from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.audio import num_frames
from data_prep.extract_features import N_MELS, frames_of
from data_prep.stored_features import StoredFeatures
from emo_fairseq.data.collate import pad_right
from emo_fairseq.data.waveform import WaveformDataset
from emo_fairseq.errors import UsageError

__all__ = ["N_MELS", "ComputedFrames", "LogMelDataset", "LogMelStatistics", "StoredFrames"]


class ComputedFrames(BaseWrapperDataset):
    """Frames of 25 ms every 10 ms of the waveforms of another leaf: (T, N_MELS) and presence."""

    def __init__(self, waveforms: WaveformDataset) -> None:
        super().__init__(waveforms)
        self._sizes = np.array([num_frames(size) for size in waveforms.sizes])

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        samples, present = self.dataset[index]
        return torch.from_numpy(frames_of(samples.numpy())), present

    @property
    def sizes(self) -> np.ndarray:
        return self._sizes


class StoredFrames(FairseqDataset):
    """The same frames from disk; see :mod:`data_prep.extract_features`."""

    def __init__(self, stored: StoredFeatures, max_frames: int) -> None:
        super().__init__()
        self.stored = stored
        self.max_frames = max_frames
        self.sizes = np.clip(np.diff(stored.offsets), 1, max_frames)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        frames = self.stored[index][: self.max_frames]
        if len(frames) == 0:
            return torch.zeros(1, N_MELS), False
        return torch.from_numpy(frames.astype(np.float32)), True

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True)
class LogMelStatistics:
    """Mean and standard deviation of each mel band, each a list of N_MELS floats.

    Over the corpus, not over the utterance: how loud somebody speaks is part of the emotion.
    """

    mean: list[float]
    std: list[float]

    @classmethod
    def fit(cls, frames: FairseqDataset, n_utterances: int, seed: int) -> "LogMelStatistics":
        """From a random sample of at most `n_utterances` rows.

        Raises:
            UsageError: none of them has audio.
        """
        order = np.random.default_rng(seed).permutation(len(frames))[:n_utterances]
        heard = [item for item, present in map(frames.__getitem__, order) if present]
        if not heard:
            raise UsageError(
                f"no row of {len(order)} drawn for the log-mel statistics has audio; "
                "leave speech out of --modality"
            )
        sample = torch.cat(heard).double()
        std = sample.std(dim=0, correction=0).clamp(min=1e-5)
        return cls(sample.mean(dim=0).tolist(), std.tolist())


class LogMelDataset(BaseWrapperDataset):
    """Normalises the frames of another dataset, and collates them."""

    def __init__(self, frames: FairseqDataset, statistics: LogMelStatistics) -> None:
        super().__init__(frames)
        self.mean = torch.tensor(statistics.mean)
        self.std = torch.tensor(statistics.std)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        frames, present = self.dataset[index]
        return (frames - self.mean) / self.std, present

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``frames`` (B, T, N_MELS), ``padding_mask`` (B, T), ``present`` (B,)."""
        frames, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        return {"frames": frames, "padding_mask": padding_mask, "present": present}
