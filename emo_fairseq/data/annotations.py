"""What is known of an utterance beyond its input and its truth, as an array a split."""

from collections.abc import Sequence

import numpy as np

from data_prep.schema import AXES
from emo_fairseq.data.manifest import Split


def vad_values(split: Split) -> np.ndarray:
    """(N, 3) float64 valence, arousal and dominance in [0, 1], NaN = missing."""
    values = [[getattr(row, axis) for axis in AXES] for row in split.utterances]
    return np.array(values, dtype=np.float64).reshape(-1, len(AXES))  # None becomes NaN


def group_names(split: Split, column: str) -> list[str]:
    """The values that a column of the manifest has, sorted."""
    return sorted({value for row in split.utterances if (value := getattr(row, column))})


def group_ids(split: Split, column: str, names: Sequence[str]) -> np.ndarray:
    """(N,) int64 number of each row's value among `names`, -1 = missing, or none of them."""
    number = {name: position for position, name in enumerate(names)}
    return np.array(
        [number.get(getattr(row, column), -1) for row in split.utterances], dtype=np.int64
    )
