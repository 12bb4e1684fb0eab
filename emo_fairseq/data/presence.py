"""Which modalities a row has, and rows that are made to lack one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset


class MissingDataset(BaseWrapperDataset):
    """The leaf of a modality that is taken for missing in every row (``--mask-modality``)."""

    def collater(self, samples: list[Any]) -> dict[str, torch.Tensor]:
        batch = super().collater(samples)
        return {**batch, "present": torch.zeros_like(batch["present"])}

    @property
    def sizes(self) -> np.ndarray:
        return self.dataset.sizes


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
