"""The modality dataset of frames: log-mel or extracted features, normalized."""

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor

from data_prep.features.frame_files import FrameRows
from emo_fairseq.data.frame_statistics import Normalization, Normalizer
from emo_fairseq.data.modality_dataset import collate_padded


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
        frames = self.stored[index][: self.max_frames]
        if len(frames) == 0:
            return torch.zeros(1, self.stored.width), False
        return torch.from_numpy(frames.astype(np.float32)), True

    def __len__(self) -> int:
        return len(self.stored)


class NormalizedFrames(BaseWrapperDataset):
    """Normalizes the frames of another dataset, and collates them.

    Args:
        frames: N items ((T, C) frames, presence).
        normalization: of these rows.

    Raises:
        UsageError: an item has another number of dimensions than the statistics.
    """

    def __init__(self, frames: FairseqDataset, normalization: Normalization) -> None:
        super().__init__(frames)
        self.normalizer = Normalizer(normalization)

    @property
    def n_features(self) -> int:
        """Return C."""
        return self.normalizer.n_features

    def __getitem__(self, index: int) -> tuple[Tensor, bool]:
        frames, present = self.dataset[index]
        return torch.from_numpy(self.normalizer.normalize(index, frames.numpy())), present

    def collater(self, samples: list[tuple[Tensor, bool]]) -> dict[str, Tensor]:
        """Return ``frames`` (B, T, C), ``padding_mask`` (B, T) and ``present`` (B,)."""
        return collate_padded(samples, "frames")
