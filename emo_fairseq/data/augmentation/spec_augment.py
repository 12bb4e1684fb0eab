"""SpecAugment: masks of time and of features.

Park et al., "SpecAugment: a simple data augmentation method for automatic speech recognition",
Interspeech 2019; without its time warping, which helped least there. Masks may overlap. They are
zeros, the mean of normalized frames.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation.augmented_dataset import AugmentedDataset, Item

MAX_TIME_SHARE = 0.5  # of an utterance, by all its time masks together


def draw_spans(
    generator: np.random.Generator, length: int, n_spans: int, max_width: int
) -> list[slice]:
    """Draw spans within `length`, their widths uniformly from 0 to `max_width`."""
    widths = generator.integers(0, max_width, size=n_spans, endpoint=True)
    starts = generator.integers(0, length - widths, endpoint=True)
    return [slice(start, start + width) for start, width in zip(starts, widths, strict=True)]


class _Masks(AugmentedDataset):
    """So many masks in every utterance, each of a random width up to the largest."""

    def __init__(self, dataset: FairseqDataset, n_masks: int, max_width: int, seed: int) -> None:
        super().__init__(dataset, seed)
        self.n_masks = n_masks
        self.max_width = max_width

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        return [self.n_masks, self.max_width]


class TimeMasks(_Masks):
    """Masks segments of time.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in frames; less where all together could exceed :data:`MAX_TIME_SHARE`.
        seed: see :class:`AugmentedDataset`.
    """

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        max_width = min(self.max_width, int(MAX_TIME_SHARE * len(frames) / self.n_masks))
        for span in draw_spans(generator, len(frames), self.n_masks, max_width):
            frames[span] = 0.0
        return frames, present


class FeatureMasks(_Masks):
    """Masks bands of neighboring features, such as mel bins, throughout an utterance.

    Args:
        dataset: normalized frames.
        n_masks: in every utterance.
        max_width: of each, in features; all together must be narrower than the frames.
        seed: see :class:`AugmentedDataset`.
    """

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        frames, present = item[0].clone(), item[1]
        for span in draw_spans(generator, frames.size(1), self.n_masks, self.max_width):
            frames[:, span] = 0.0
        return frames, present
