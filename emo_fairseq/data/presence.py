"""Which modalities a row has, and rows that are made to lack one."""

from collections.abc import Mapping

import numpy as np
import torch
from fairseq.data import FairseqDataset


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


def presence_cases(present: Mapping[str, np.ndarray]) -> list[str] | None:
    """For each row the modalities it has, joined by ``+``; None if all rows have the same.

    Args:
        present: for each modality which rows have it, (N,) bool.
    """
    table = np.stack(list(present.values()), axis=1)  # (N, M)
    if len(np.unique(table, axis=0)) == 1:
        return None
    names = np.array(list(present), dtype=object)
    return ["+".join(names[row]) for row in table]
