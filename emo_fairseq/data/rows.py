"""A choice of rows of another dataset."""

from typing import Any

import numpy as np
from fairseq.data import BaseWrapperDataset, FairseqDataset


class RowsDataset(BaseWrapperDataset):
    """Row i is row ``rows[i]`` of the wrapped dataset.

    Args:
        dataset: any leaf with ``sizes``.
        rows: (M,) row numbers.
    """

    def __init__(self, dataset: FairseqDataset, rows: np.ndarray) -> None:
        super().__init__(dataset)
        self.rows = rows

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.rows[index]]

    def __len__(self) -> int:
        return len(self.rows)

    def size(self, index: int) -> int:
        return self.sizes[index]

    def num_tokens(self, index: int) -> int:
        return self.sizes[index]

    @property
    def sizes(self) -> np.ndarray:
        return self.dataset.sizes[self.rows]
