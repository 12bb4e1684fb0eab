"""What all augmentations share: where their chance comes from."""

import zlib
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset

Item = tuple[Any, ...]  # (values, presence, and whatever else the leaf gives)


class DrawnDataset(BaseWrapperDataset):
    """Changes the rows of a leaf, each by what a generator of its own draws.

    The generator knows nothing but the seed, the epoch, the row and the kind of change: an item is
    the same whichever worker or rank asks for it, in whatever order, and again after a resumption.
    A row that is not present stays as it is. Sizes are the leaf's.

    Args:
        dataset: a leaf, whose items begin with their values and presence.
        seed: not negative.
    """

    def __init__(self, dataset: FairseqDataset, seed: int) -> None:
        super().__init__(dataset)
        self.seed = seed
        # Shared: workers outlive the epoch that they are started in, each with its own copy of all
        # else (fairseq's loader is persistent).
        self._epoch = torch.ones((), dtype=torch.long).share_memory_()

    def __getitem__(self, index: int) -> Item:
        item: Item = self.dataset[index]
        present = item[1]
        return self.changed(item, self._generator(index)) if present else item

    def changed(self, item: Item, generator: np.random.Generator) -> Item:
        """The item as the model gets it; the one that is given is not written to."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)

    def _generator(self, index: int) -> np.random.Generator:
        kind = zlib.crc32(type(self).__name__.encode())
        return np.random.default_rng((self.seed, int(self._epoch), int(index), kind))
