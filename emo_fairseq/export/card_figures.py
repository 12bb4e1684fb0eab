"""The figures of a model card: from predictions files, each with its bootstrap interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from emo_fairseq import metrics
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.bootstrap import Derive, Interval, figures_of, intervals
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
    TRUTH_OF,
)
from emo_fairseq.metrics.derivations import confusion_figures, moment_figures

_OF_LABELS = {"weighted_f1": "weighted F1", "macro_f1": "macro F1", "uar": "UAR", "wa": "WA"}
_OF_NUMBERS = {"ccc": "CCC", "pearson": "Pearson", "mae": "MAE", "rmse": "RMSE"}


class Estimate(NamedTuple):
    """A figure and its 95 % interval over utterances."""

    figure: float
    interval: Interval


class Scored(NamedTuple):
    """What one file says of one split.

    Attributes:
        file: its name, without the folders it lies in.
        split: that was scored.
        n_rows: scored utterances.
        figures: by their written names.
        origin: whether the predictions are known to be this model's, as a sentence.
    """

    file: str
    split: str
    n_rows: int
    figures: Mapping[str, Estimate]
    origin: str = ""


def score_file(file: Path, labels: Sequence[str], has_labels: bool) -> list[Scored]:
    """The figures of a predictions file, split by split.

    Args:
        file: what ``--save-predictions`` wrote.
        labels: of the model, in their order; or its axes.
        has_labels: whether it predicts labels, and not numbers.

    Raises:
        UsageError: no such file, no rows, or predictions of other labels or axes.
    """
    rows = predictions.read(file)
    if not rows:
        raise UsageError(f"{file}: it has a header and no rows; score a split that has utterances")
    _check_fits(file, rows[0], labels, has_labels)
    measure = _of_labels if has_labels else _of_numbers
    scored = []
    for split in sorted({row["split"] for row in rows}):
        chosen = [row for row in rows if row["split"] == split]
        try:
            statistics, derive, names = measure(chosen, labels)
        except ValueError as error:
            raise UsageError(f"{file}: {error}; write it again with --save-predictions") from error
        scored.append(Scored(file.name, split, len(chosen), _intervals(statistics, derive, names)))
    return scored


def _check_fits(
    file: Path, row: Mapping[str, str], labels: Sequence[str], has_labels: bool
) -> None:
    prefix = PROBABILITY if has_labels else PREDICTION_OF
    named = [column.removeprefix(prefix) for column in row if column.startswith(prefix)]
    if named != list(labels):
        raise UsageError(
            f"{file}: holds predictions of {', '.join(named) or 'other things'}, and the model "
            f"gives {', '.join(labels)}; give predictions of this model"
        )


def _of_labels(
    rows: Sequence[Mapping[str, str]], labels: Sequence[str]
) -> tuple[Tensor, Derive, Mapping[str, str]]:
    number = {name: place for place, name in enumerate(labels)}
    n = len(labels)
    for row in rows:
        for column in ("truth", "prediction"):
            if row[column] not in number:
                raise ValueError(f"{row['id']}: {column} {row[column]!r} is no label of the model")
    truth, prediction = (
        torch.tensor([number[r[c]] for r in rows]) for c in ("truth", "prediction")
    )
    statistics = metrics.confusion_rows(truth, prediction, len(labels)).flatten(1)
    return statistics, lambda sums: confusion_figures(sums.view(n, n), labels), _OF_LABELS


def _of_numbers(
    rows: Sequence[Mapping[str, str]], axes: Sequence[str]
) -> tuple[Tensor, Derive, Mapping[str, str]]:
    truth, prediction = (
        torch.tensor([[float(row[kind + axis] or "nan") for axis in axes] for row in rows])
        for kind in (TRUTH_OF, PREDICTION_OF)
    )
    statistics = metrics.moments(truth.view(1, -1), prediction.view(1, -1)).view(len(truth), -1)
    names = dict(_OF_NUMBERS)
    if len(axes) > 1:
        names |= {
            f"{x}_{axis}": f"{_OF_NUMBERS[x]}, {axis}" for axis in axes for x in ("ccc", "mae")
        }
    return statistics, lambda sums: moment_figures(sums.view(len(axes), -1), axes), names


def _intervals(
    statistics: Tensor, derive: Derive, names: Mapping[str, str]
) -> Mapping[str, Estimate]:
    """Each figure with its interval over utterances, all from the same resamples."""
    values = figures_of([statistics], derive)
    ends = intervals([statistics], derive)
    return {written: Estimate(values[name], ends[name]) for name, written in names.items()}
