"""Figures of VAD and of emotions, each with its 95 % interval over utterances or speakers."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_prep.schema import AXES
from emo_fairseq import metrics
from emo_fairseq.evaluation.bootstrap import Speakers, figures_of, intervals

Metric = Callable[[Tensor], float]  # from summed statistics


class Estimate(NamedTuple):
    """A figure of a system; `axis` is empty where it is of the emotions."""

    figure: str
    axis: str
    value: float
    low: float
    high: float


def mean_squared_error(sums: Tensor) -> float:
    """MSE from (8,) moments, in the values' unit squared; NaN without rows."""
    return metrics.root_mean_squared_error(sums) ** 2


VAD_FIGURES: dict[str, Metric] = {
    "mse": mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "pearson": metrics.pearson_cc,
    "ccc": metrics.concordance_cc,
}
EMOTION_FIGURES: dict[str, Metric] = {
    "accuracy": metrics.accuracy,
    "macro_f1": metrics.macro_f1,
    "weighted_f1": metrics.weighted_f1,
}
# Every column of a table: (figure, axis).
COLUMNS = (
    *((figure, axis) for figure in VAD_FIGURES for axis in AXES),
    *((figure, "") for figure in EMOTION_FIGURES),
)


def vad_estimates(
    truth: np.ndarray, prediction: np.ndarray, speakers: Speakers | None = None
) -> list[Estimate]:
    """MSE, RMSE, MAE, Pearson's r and CCC of each axis.

    Args:
        truth: (N, 3), axes in the order of `AXES`, NaN = missing, and then not counted.
        prediction: (N, 3).
        speakers: that the intervals are over; None = over rows.
    """
    found = []
    for column, axis in enumerate(AXES):
        pair = (torch.from_numpy(values[:, column][None].copy()) for values in (truth, prediction))
        rows = metrics.moments(*pair)  # (N, 8): of (1, N) values, each row by itself
        found += _estimates(VAD_FIGURES, axis, rows, speakers)
    return found


def emotion_estimates(
    truth: np.ndarray, prediction: np.ndarray, n_labels: int, speakers: Speakers | None = None
) -> list[Estimate]:
    """Accuracy, macro F1 and weighted F1 of (N,) label numbers."""
    true, said = torch.from_numpy(truth), torch.from_numpy(prediction)
    rows = metrics.confusion_rows(true, said, n_labels)  # (N, K, K)
    return _estimates(EMOTION_FIGURES, "", rows, speakers)


def _estimates(
    figures: Mapping[str, Metric], axis: str, rows: Tensor, speakers: Speakers | None
) -> list[Estimate]:
    """Figures of (N, ...) statistics, with their intervals, all from the same resamples."""
    shape = rows.shape[1:]
    runs = [rows.double().flatten(1)]

    def derive(sums: Tensor) -> dict[str, float]:
        return {name: figure(sums.view(shape)) for name, figure in figures.items()}

    values, ends = figures_of(runs, derive), intervals(runs, derive, speakers)
    return [Estimate(name, axis, values[name], *ends[name]) for name in figures]


def undefined(figure: str, axis: str) -> Estimate:
    """What a system has no figure for."""
    return Estimate(figure, axis, math.nan, math.nan, math.nan)
