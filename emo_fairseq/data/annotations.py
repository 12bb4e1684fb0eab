"""What is known of the rows of a split beyond their input, as arrays."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.schema import AXES, CORPUS_FILE
from emo_fairseq.data.manifest import Split, report_rows
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    TARGETS,
    Target,
)


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


# -- The classes that a contrastive loss and prototypes tell apart ---------------------------------


@dataclass(frozen=True)
class Classes:
    """A label column and its labels.

    Attributes:
        target: of labels; the primary one, or "emotion" beside a target of numbers.
        names: in the order of their ids.
    """

    target: Target
    names: Sequence[str]

    @property
    def column(self) -> str:
        """Of the manifest."""
        return self.target.columns[0]

    def ids(self, split: Split) -> np.ndarray:
        """(N,) int64 class ids, -1 = missing."""
        return truth_array(split, self.target, self.names)


def target_of_classes(target: Target) -> Target:
    """The target itself if it has labels, and emotions else."""
    return target if target.has_labels else TARGETS["emotion"]


def truth_array(
    split: Split, target: Target, labels: Sequence[str], foreign: Collection[str] = ()
) -> np.ndarray:
    """The truth of every row: (N,) int64 label ids, -1 = missing, or (N, A) float64, NaN = missing.

    A label that is among `foreign` is missing truth, too; the log counts the rows.

    Raises:
        UsageError: a label that is not one of `labels`.
    """
    if not target.has_labels:
        return np.array(
            [
                [_number(getattr(row, column)) for column in target.columns]
                for row in split.utterances
            ],
            dtype=np.float64,  # fairseq halves float32 under --fp16, the truth included
        )
    (column,) = target.columns
    number = {label: position for position, label in enumerate(labels)}
    ids = np.full(len(split.utterances), -1, dtype=np.int64)
    is_foreign = np.array([getattr(row, column) in foreign for row in split.utterances], dtype=bool)
    what = f"have {column} {', '.join(foreign)}, which is not known here and taken as missing"
    report_rows(split, is_foreign, what)
    for position, row in enumerate(split.utterances):
        label = getattr(row, column)
        if label is None or is_foreign[position]:
            continue
        if label not in number:
            place = f"{split.file}: {_place(split, position)}{row.id}"
            raise UsageError(
                f"{place}: {column} {label!r} is not one of the labels "
                f"{', '.join(labels)}; correct the row, or the label set in {CORPUS_FILE}"
            )
        ids[position] = number[label]
    return ids


def _place(split: Split, position: int) -> str:
    """The row in the file, whose first is the header; rows of the seed's layout are joined ones."""
    return "" if split.tokens else f"row {position + 2}: "


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
