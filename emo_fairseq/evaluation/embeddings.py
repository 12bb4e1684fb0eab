"""The embeddings file: an ``.npz`` of ``ids`` (N,), ``splits`` (N,) and ``embeddings`` (N, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.files.replacing import replacing


@dataclass(frozen=True, eq=False)  # no tuple: fairseq rebuilds those that ranks exchange
class Embedded:
    """One utterance.

    Attributes:
        id: its name.
        split: that it is of.
        vector: (D,) float32, what stands before the head.
    """

    id: str
    split: str
    vector: np.ndarray


def write(path: Path, rows: Sequence[Embedded]) -> None:
    """Write rows in the order of split and id; the file is complete or not there.

    Args:
        path: ends in ``.npz``.
        rows: at least one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda row: (row.split, row.id))
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            ids=np.array([row.id for row in ordered]),
            splits=np.array([row.split for row in ordered]),
            embeddings=np.stack([row.vector for row in ordered]),
        )
