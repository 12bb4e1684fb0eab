"""The modality dataset of frames: log-mel or extracted features, normalized."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.features.frame_files import FrameRows
from emo_fairseq.data.modality_dataset import collate_padded
from emo_fairseq.errors import UsageError

_MIN_STD = 1e-5  # a dimension that never varies stays at zero
MIN_FRAMES = 8  # of fewer, mean and deviation say more about the frames than about who made them


class StoredFrames(FairseqDataset):
    """Frames from disk, by mmap, not normalized yet.

    An item is ((T, C) float32 frames, presence). A row without frames is one frame of zeros that is
    not present, so no fusion attends to it.

    Args:
        stored: of one split, or of several that are joined.
        max_frames: a longer row is truncated to this; None = none is.
    """

    def __init__(self, stored: FrameRows, max_frames: int | None) -> None:
        super().__init__()
        self.stored = stored
        self.max_frames = max_frames
        self.sizes = np.clip(np.diff(stored.offsets), 1, max_frames)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        try:
            frames = self.stored[index][: self.max_frames]
        except ValueError as error:  # a folder made by others is not checked before it is read
            raise UsageError.of(error, "features-unreadable") from error
        if len(frames) == 0:
            return torch.zeros(1, self.stored.width), False
        return torch.from_numpy(frames.astype(np.float32)), True

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True)
class FrameStatistics:
    """Mean and standard deviation of each dimension, each a list of C floats."""

    mean: list[float]
    std: list[float]

    @classmethod
    def fit(cls, frames: FairseqDataset, n_utterances: int, seed: int) -> "FrameStatistics":
        """Fit the statistics on a random sample of rows.

        Args:
            frames: items ((T, C) frames, presence).
            n_utterances: rows of the sample, at most.
            seed: of the sample.

        Raises:
            UsageError: no row of the sample has frames.
        """
        sample = np.random.default_rng(seed).permutation(len(frames))[:n_utterances]
        count, total, total_of_squares = 0, torch.zeros(()), torch.zeros(())
        for item, present in map(frames.__getitem__, sample):
            if present:
                wide = item.double()
                count += len(wide)
                total = total + wide.sum(dim=0)
                total_of_squares = total_of_squares + wide.square().sum(dim=0)
        if count == 0:
            raise UsageError(
                f"no row of {len(sample)} drawn for the statistics of the frames has any; "
                "leave their modality out of --modality",
                "frames-missing",
            )
        mean = total / count
        variance = (total_of_squares / count - mean.square()).clamp(min=0)
        return cls(mean.tolist(), variance.sqrt().clamp(min=_MIN_STD).tolist())


@dataclass(frozen=True)
class Normalization:
    """Which statistics normalize each row.

    Attributes:
        statistics: of the train split, and of groups of rows.
        of_row: (N,) int64, the position of each row's statistics among these, or :attr:`ITSELF`,
            those of the row's own frames.
    """

    ITSELF: ClassVar[int] = -1

    statistics: Sequence[FrameStatistics]
    of_row: np.ndarray

    @classmethod
    def of_train(cls, statistics: FrameStatistics, n_rows: int) -> "Normalization":
        """Return that of all rows by the statistics of the train split."""
        return cls([statistics], np.zeros(n_rows, dtype=np.int64))


class NormalizedFrames(BaseWrapperDataset):
    """Normalizes the frames of another dataset to zero mean and unit variance, and collates them.

    Args:
        frames: N items ((T, C) frames, presence).
        normalization: of these rows.

    Raises:
        UsageError: an item has another number of dimensions than the statistics.
    """

    def __init__(self, frames: FairseqDataset, normalization: Normalization) -> None:
        super().__init__(frames)
        self.mean = torch.tensor([one.mean for one in normalization.statistics])  # (G, C)
        self.std = torch.tensor([one.std for one in normalization.statistics])
        self.of_row = normalization.of_row

    @property
    def n_features(self) -> int:
        """Return C."""
        return self.mean.size(1)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        frames, present = self.dataset[index]
        if frames.size(1) != self.n_features:
            raise UsageError(
                f"frames of {frames.size(1)} numbers, but the model was trained on frames of "
                f"{self.n_features}; give the features that it was trained on",
                "frames-other-width",
            )
        chosen = self.of_row[index]
        if chosen == Normalization.ITSELF:
            std = frames.std(dim=0, correction=0).clamp(min=_MIN_STD)
            return (frames - frames.mean(dim=0)) / std, present
        return (frames - self.mean[chosen]) / self.std[chosen], present

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """Return ``frames`` (B, T, C), ``padding_mask`` (B, T) and ``present`` (B,)."""
        return collate_padded(samples, "frames")
