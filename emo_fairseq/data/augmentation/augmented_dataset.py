"""What all augmentations share: a random generator for each item."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset

Item = tuple[Any, ...]  # (values, presence, ...), of a modality dataset


class AugmentedDataset(BaseWrapperDataset):
    """Changes each row by a random generator of its own.

    The generator depends on the seed, the epoch, the row and the name of the class alone: an item
    is the same in every worker and on every rank, in any order, and again after a resumption. A row
    that is not present stays as it is. Sizes stay those of the wrapped dataset.

    Args:
        dataset: a modality dataset.
        seed: 0 or more.
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
        return self.change(item, self._generator(index)) if present else item

    def change(self, item: Item, generator: np.random.Generator) -> Item:
        """Return the changed item; the given one is not written to."""
        raise NotImplementedError

    def settings(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        """Return what the change depends on beside seed, epoch and row, as plain values.

        Args:
            digest_of: returns the digest of the content of another dataset that is read.
        """
        raise NotImplementedError

    def identity(self, digest_of: Callable[[FairseqDataset], str]) -> list[Any]:
        """Return what all rows of this epoch depend on, as plain values; see :meth:`settings`."""
        own = [type(self).__name__, self.seed, int(self._epoch), *self.settings(digest_of)]
        return [*own, digest_of(self.dataset)]

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch.fill_(epoch)

    def _generator(self, index: int) -> np.random.Generator:
        kind = zlib.crc32(type(self).__name__.encode())
        return np.random.default_rng((self.seed, int(self._epoch), int(index), kind))


def unaugmented(dataset: FairseqDataset) -> FairseqDataset:
    """Return the dataset within all augmentations around it; itself without."""
    while isinstance(dataset, AugmentedDataset):
        dataset = dataset.dataset
    return dataset
