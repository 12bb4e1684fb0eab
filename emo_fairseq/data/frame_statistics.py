"""Mean and standard deviation of frames, and which of them normalize each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from data_prep.features.frame_files import FloatArray
from emo_fairseq.errors import UsageError

MIN_STD = 1e-5  # of frames that hardly vary
# Of a dimension that is constant where statistics are fitted: it is 0 in all frames, also in those
# in which it has another value, of which nothing was learned.
STD_OF_CONSTANT = 1e30
MIN_FRAMES = 8  # of fewer, mean and deviation depend on the frames more than on their speaker


class Frames(Protocol):
    """N rows of frames that are not normalized.

    An item is ((T, C) float32 frames, as an array or a tensor on the CPU; presence; what is not
    read here).

    Attributes:
        sizes: (N,) of their lengths.
    """

    @property
    def sizes(self) -> Any:
        """Return the N lengths."""

    def __getitem__(self, index: int, /) -> tuple[Any, ...]:
        """Return a row's frames, and whether it has any."""

    def __len__(self) -> int:
        """Return N."""


@dataclass(frozen=True)
class FrameStatistics:
    """Mean and standard deviation of each dimension, each a list of C floats."""

    mean: list[float]
    std: list[float]

    @classmethod
    def fit(
        cls, frames: Frames, n_utterances: int, seed: int, rows: np.ndarray | None = None
    ) -> "FrameStatistics":
        """Fit the statistics on a random sample of rows.

        Args:
            frames: not normalized.
            n_utterances: rows of the sample, at most.
            seed: of the sample.
            rows: the numbers of those that are drawn from; by default all.

        Raises:
            UsageError: no row of the sample has frames.
        """
        among = np.arange(len(frames)) if rows is None else rows
        sample = among[np.random.default_rng(seed).permutation(len(among))[:n_utterances]]
        count, total, total_of_squares = 0, np.zeros(()), np.zeros(())
        for values, present, *_ in map(frames.__getitem__, sample):
            if present:
                wide = np.asarray(values, dtype=np.float64)
                count += len(wide)
                total = total + wide.sum(axis=0)
                total_of_squares = total_of_squares + np.square(wide).sum(axis=0)
        if count == 0:
            raise UsageError(
                f"no row of {len(sample)} drawn for the statistics of the frames has any; "
                "leave their modality out of --modality",
                "frames-missing",
            )
        mean = total / count
        std = np.sqrt((total_of_squares / count - np.square(mean)).clip(min=0))
        # What varies by the rounding of single precision alone is constant.
        is_constant = std <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1.0)
        std = np.where(is_constant, STD_OF_CONSTANT, std.clip(min=MIN_STD))
        return cls(mean.tolist(), std.tolist())


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


class Normalizer:
    """Normalizes frames of rows to zero mean and unit variance.

    Attributes:
        mean: (G, C) float32, of each of the statistics.
        std: (G, C) float32, likewise.
        n_features: C.
    """

    def __init__(self, normalization: Normalization) -> None:
        statistics = normalization.statistics
        self.mean = np.array([group.mean for group in statistics], dtype=np.float32)  # (G, C)
        self.std = np.array([group.std for group in statistics], dtype=np.float32)
        self._of_row = normalization.of_row
        self.n_features = int(self.mean.shape[1])

    def normalize(self, row: int, frames: FloatArray) -> FloatArray:
        """Normalize the frames (T, C) float32 of a row.

        Raises:
            UsageError: they have another number of dimensions than the statistics.
        """
        if frames.shape[1] != self.n_features:
            raise UsageError(
                f"frames of {frames.shape[1]} numbers, but the model was trained on frames of "
                f"{self.n_features}; give the features that it was trained on",
                "frames-other-width",
            )
        chosen = self._of_row[row]
        if chosen != Normalization.ITSELF:
            return (frames - self.mean[chosen]) / self.std[chosen]
        mean = frames.mean(axis=0, dtype=np.float64)
        std = frames.std(axis=0, dtype=np.float64).clip(min=MIN_STD)
        return (frames - mean.astype(np.float32)) / std.astype(np.float32)
