"""Louder or softer speech."""

import numpy as np
from fairseq.data import FairseqDataset

from emo_fairseq.data.augmentation.drawn import DrawnDataset, Item


class Gain(DrawnDataset):
    """Multiplies the samples by a gain drawn uniformly, in decibels.

    Nothing is clipped: samples may go beyond -1 and 1, of which no encoder here minds, and so the
    shape of the wave stays what it was.

    Args:
        dataset: waveforms.
        decibels: the gain is between minus this and this.
        seed: see the base.
    """

    def __init__(self, dataset: FairseqDataset, decibels: float, seed: int) -> None:
        super().__init__(dataset, seed)
        self.decibels = decibels

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        samples, present = item
        return samples * 10 ** (generator.uniform(-self.decibels, self.decibels) / 20), present
