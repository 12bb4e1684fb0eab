"""What every modality dataset shares: padding, a choice of rows, and a missing modality."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor


def pad_right(items: Sequence[Tensor], value: float) -> tuple[Tensor, Tensor]:
    """Stack items along a new first axis, padded at the end of their own first axis.

    Args:
        items: B tensors (T_i, ...), all of one dtype and trailing shape.
        value: what padding holds.

    Returns:
        The batch (B, max T_i, ...), and its padding mask (B, max T_i), True = padding.
    """
    lengths = torch.tensor([len(item) for item in items])
    batch = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True, padding_value=value)
    padding_mask = torch.arange(batch.size(1)) >= lengths[:, None]
    return batch, padding_mask


# -- A choice of rows of another dataset -----------------------------------------------------------


class RowsDataset(BaseWrapperDataset):
    """Row i is row ``rows[i]`` of the wrapped dataset.

    Args:
        dataset: any leaf with ``sizes``.
        rows: (M,) row numbers.
    """

    def __init__(self, dataset: FairseqDataset, rows: np.ndarray) -> None:
        super().__init__(dataset)
        self.rows = rows
        self._sizes = np.asarray(dataset.sizes)[rows]

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
        return self._sizes


# -- Which modalities a row has, and rows that are made to lack one --------------------------------


class MissingDataset(FairseqDataset):
    """The leaf of a modality that is taken for missing in every row (``--mask-modality``).

    A batch holds ``present`` (B,) alone, False: nothing is read, and nothing is encoded.

    Args:
        n_rows: N.
    """

    def __init__(self, n_rows: int) -> None:
        super().__init__()
        self.sizes = np.ones(n_rows, dtype=np.int64)

    def __getitem__(self, index: int) -> bool:
        return False

    def __len__(self) -> int:
        return len(self.sizes)

    def collater(self, samples: list[bool]) -> dict[str, torch.Tensor]:
        """``present`` (B,)."""
        return {"present": torch.tensor(samples, dtype=torch.bool)}
