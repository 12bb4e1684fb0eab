"""The frames leaf: log-mel or extracted features, in units of the corpus's statistics."""

from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.features.stored import StoredFeatures
from emo_fairseq.data.modality_dataset import pad_right
from emo_fairseq.errors import UsageError

_MIN_STD = 1e-5  # a dimension that never varies stays at zero


class StoredFrames(FairseqDataset):
    """Frames from disk, by mmap, as they are stored: (T, C) and presence.

    Args:
        stored: one split.
        max_frames: later frames of a row are cut; None = none.

    A row without frames is one frame of zeros, which no fusion looks at.
    """

    def __init__(self, stored: StoredFeatures, max_frames: int | None) -> None:
        super().__init__()
        self.stored = stored
        self.max_frames = max_frames
        self.sizes = np.clip(np.diff(stored.offsets), 1, max_frames)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        try:
            frames = self.stored[index][: self.max_frames]
        except ValueError as error:  # a folder made by others is not checked before it is read
            raise UsageError(str(error)) from error
        if len(frames) == 0:
            return torch.zeros(1, self.stored.frames.shape[1]), False
        return torch.from_numpy(frames.astype(np.float32)), True

    def __len__(self) -> int:
        return len(self.stored)


@dataclass(frozen=True)
class FrameStatistics:
    """Mean and standard deviation of each dimension, each a list of C floats.

    Over the corpus, not over the utterance: how loud somebody speaks is part of the emotion.
    """

    mean: list[float]
    std: list[float]

    @classmethod
    def fit(cls, frames: FairseqDataset, n_utterances: int, seed: int) -> "FrameStatistics":
        """From a random sample of at most `n_utterances` rows.

        Raises:
            UsageError: none of them has frames.
        """
        order = np.random.default_rng(seed).permutation(len(frames))[:n_utterances]
        count, first, second = 0, torch.zeros(()), torch.zeros(())
        for item, present in map(frames.__getitem__, order):
            if present:
                wide = item.double()
                count += len(wide)
                first = first + wide.sum(dim=0)
                second = second + wide.square().sum(dim=0)
        if count == 0:
            raise UsageError(
                f"no row of {len(order)} drawn for the statistics of the frames has any; "
                "leave their modality out of --modality"
            )
        mean = first / count
        std = (second / count - mean.square()).clamp(min=0).sqrt().clamp(min=_MIN_STD)
        return cls(mean.tolist(), std.tolist())


class NormalizedFrames(BaseWrapperDataset):
    """Normalizes the frames of another dataset, and collates them."""

    def __init__(self, frames: FairseqDataset, statistics: FrameStatistics) -> None:
        super().__init__(frames)
        self.mean = torch.tensor(statistics.mean)
        self.std = torch.tensor(statistics.std)

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        frames, present = self.dataset[index]
        if frames.size(1) != len(self.mean):
            raise UsageError(
                f"frames of {frames.size(1)} numbers, but the model was trained on frames of "
                f"{len(self.mean)}; give the features that it was trained on"
            )
        return (frames - self.mean) / self.std, present

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """``frames`` (B, T, C), ``padding_mask`` (B, T), ``present`` (B,)."""
        frames, padding_mask = pad_right([sample[0] for sample in samples], 0.0)
        present = torch.tensor([sample[1] for sample in samples])
        return {"frames": frames, "padding_mask": padding_mask, "present": present}
