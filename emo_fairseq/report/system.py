"""What a system said of a split, as tensors: labels with their probabilities, or numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
    TRUTH_OF,
)

Rows = Sequence[Mapping[str, str]]
_NO_SUM = 1e-3  # by which probabilities miss 1 that answer a question each


@dataclass(frozen=True, eq=False)
class Labels:
    """Predicted labels.

    Attributes:
        ids: of the N utterances.
        names: of the K labels.
        truth: (N,) int64.
        prediction: (N,) int64.
        probability: (N, K) float64.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    truth: Tensor
    prediction: Tensor
    probability: Tensor

    @property
    def asks_each(self) -> bool:
        """Whether each probability is of a yes/no question of its own (``binary_emotion``)."""
        return bool(((self.probability.sum(dim=1) - 1.0).abs() > _NO_SUM).any())

    def constant(self) -> "Labels":
        """The majority baseline: always the most frequent truth, the first among equals."""
        counts = torch.bincount(self.truth, minlength=len(self.names))
        return replace(self, prediction=torch.full_like(self.truth, int(counts.argmax())))


@dataclass(frozen=True, eq=False)
class Numbers:
    """Predicted numbers.

    Attributes:
        ids: of the N utterances.
        names: of the A axes.
        truth: (N, A) float64, NaN = missing.
        prediction: (N, A) float64.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    truth: Tensor
    prediction: Tensor

    @property
    def is_cmu(self) -> bool:
        """Whether the numbers are sentiment scores from -3 to 3."""
        return self.names == ("sentiment_score",)

    def constant(self) -> "Numbers":
        """The baseline: always the mean of the truth, axis by axis."""
        return replace(self, prediction=self.truth.nanmean(dim=0).expand_as(self.truth))


System = Labels | Numbers


def read_systems(file: Path) -> dict[str, System]:
    """What a predictions file holds, by split.

    Raises:
        UsageError: no such file, no rows, or cells that are not what ``--save-predictions`` writes.
    """
    rows = predictions.read(file)
    if not rows:
        raise UsageError(f"{file}: it has a header and no rows; score a split that has utterances")
    splits = sorted({row["split"] for row in rows})
    try:
        return {split: system_of([r for r in rows if r["split"] == split]) for split in splits}
    except ValueError as error:
        raise UsageError(f"{file}: {error}; write it again with --save-predictions") from error


def system_of(rows: Rows) -> System:
    """Rows of :func:`emo_fairseq.evaluation.predictions.read`, at least one, as tensors.

    Raises:
        ValueError: the columns of neither kind, a label without a column, or a cell that is no
            number.
    """
    ids = tuple(row["id"] for row in rows)
    if {"truth", "prediction"} <= rows[0].keys():
        return _labels(ids, rows)
    axes = [name.removeprefix(TRUTH_OF) for name in rows[0] if name.startswith(TRUTH_OF)]
    if not axes or any(PREDICTION_OF + axis not in rows[0] for axis in axes):
        raise ValueError("it has neither labels nor numbers to compare")
    truth, prediction = (_numbers(rows, [k + a for a in axes]) for k in (TRUTH_OF, PREDICTION_OF))
    return Numbers(ids, tuple(axes), truth, prediction)


def _labels(ids: tuple[str, ...], rows: Rows) -> Labels:
    columns = [name for name in rows[0] if name.startswith(PROBABILITY)]
    names = tuple(name.removeprefix(PROBABILITY) for name in columns)
    number = {name: place for place, name in enumerate(names)}
    for row in rows:
        for column in ("truth", "prediction"):
            if row[column] not in number:
                known = ", ".join(names) or "none"
                raise ValueError(f"{row['id']}: {column} {row[column]!r} is none of {known}")
    truth, prediction = (
        torch.tensor([number[row[column]] for row in rows]) for column in ("truth", "prediction")
    )
    return Labels(ids, names, truth, prediction, _numbers(rows, columns))


def _numbers(rows: Rows, columns: Sequence[str]) -> Tensor:
    cells = [[float(row[column] or "nan") for column in columns] for row in rows]
    return torch.tensor(cells, dtype=torch.float64)
