"""What every modality dataset shares: padded batches, a choice of rows, a missing modality.

An item of a modality dataset begins with its values, (T,) or (T, C), and whether the row has the
modality at all; ``sizes`` holds N lengths T.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset
from torch import Tensor


def pad_right(items: Sequence[Tensor], value: float) -> tuple[Tensor, Tensor]:
    """Stack items along a new first axis, padded at the end of their own first axis.

    >>> batch, padding_mask = pad_right([torch.tensor([5, 6]), torch.tensor([7])], value=1)
    >>> batch.tolist(), padding_mask.tolist()
    ([[5, 6], [7, 1]], [[False, False], [False, True]])

    Args:
        items: B tensors (T_i, ...), all of one dtype and trailing shape.
        value: written where an item has ended.

    Returns:
        The batch (B, max T_i, ...), and its padding mask (B, max T_i), True = padding.
    """
    batch = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True, padding_value=value)
    # Of a waveform, a comparison of positions takes longer than all else of reading it.
    padding_mask = np.zeros(batch.shape[:2], dtype=bool)
    for of_row, item in zip(padding_mask, items, strict=True):
        of_row[len(item) :] = True
    return batch, torch.from_numpy(padding_mask)


def collate_padded(
    samples: Sequence[tuple[Any, ...]], name: str, padding: float = 0.0
) -> dict[str, Tensor]:
    """Collate items of a modality dataset.

    Args:
        samples: B items, which begin with their values (T_i, ...) and presence.
        name: of the values in the batch.
        padding: written where an item has ended.

    Returns:
        The values (B, T, ...) under their name, ``padding_mask`` (B, T) and ``present`` (B,).
    """
    values, padding_mask = pad_right([sample[0] for sample in samples], padding)
    present = torch.tensor([sample[1] for sample in samples])
    return {name: values, "padding_mask": padding_mask, "present": present}


class RowsDataset(BaseWrapperDataset):
    """Row i is row ``rows[i]`` of the wrapped dataset.

    Args:
        dataset: any modality dataset.
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


class MissingDataset(FairseqDataset):
    """A modality that is treated as missing in every row (``--mask-modality``).

    A batch holds ``present`` (B,) alone, all False: nothing is read, and nothing is encoded.

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

    def collater(self, samples: list[bool]) -> dict[str, Tensor]:
        """Return ``present`` (B,)."""
        return {"present": torch.tensor(samples, dtype=torch.bool)}
