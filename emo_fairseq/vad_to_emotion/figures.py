"""Figures of VAD and of emotions, each with its bootstrap interval over utterances or speakers."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_prep.schema import AXES
from emo_fairseq import metrics
from emo_fairseq.metrics.resampling import confusion_rows, draws, percentiles

N_RESAMPLES = 1000

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
    truth: np.ndarray, prediction: np.ndarray, units: Tensor | None = None
) -> list[Estimate]:
    """MSE, RMSE, MAE, Pearson's r and CCC of each axis.

    Args:
        truth: (N, 3), axes in the order of `AXES`, NaN = missing, and then not counted.
        prediction: (N, 3).
        units: (N,) of the bootstrap, from 0; None = each row alone.
    """
    found = []
    for column, axis in enumerate(AXES):
        pair = (torch.from_numpy(values[:, column][None].copy()) for values in (truth, prediction))
        rows = metrics.moments(*pair)  # (N, 8): of (1, N) values, each row by itself
        found += _estimates(VAD_FIGURES, axis, rows, units)
    return found


def emotion_estimates(
    truth: np.ndarray, prediction: np.ndarray, n_labels: int, units: Tensor | None = None
) -> list[Estimate]:
    """Accuracy, macro F1 and weighted F1 of (N,) label numbers."""
    true, said = torch.from_numpy(truth), torch.from_numpy(prediction)
    rows = confusion_rows(true, said, n_labels)  # (N, K, K)
    return _estimates(EMOTION_FIGURES, "", rows, units)


def _estimates(
    figures: Mapping[str, Metric], axis: str, rows: Tensor, units: Tensor | None
) -> list[Estimate]:
    """Figures of (N, ...) statistics, with the draws of :func:`emo_fairseq.metrics.resampling`.

    All of them are derived from the same resamples, which one product of matrices sums.
    """
    flat = rows.double().flatten(1)  # (N, D)
    if units is not None:
        n_units = int(units.max()) + 1
        flat = flat.new_zeros(n_units, flat.shape[1]).index_add_(0, units, flat)
    sums = (_times(len(flat)) @ flat).unflatten(1, rows.shape[1:])  # (R, ...)
    found = []
    for name, figure in figures.items():
        drawn = torch.tensor([figure(one) for one in sums], dtype=torch.float64)
        value = figure(rows.double().sum(dim=0))
        found.append(Estimate(name, axis, value, *percentiles(drawn)))
    return found


@functools.lru_cache(maxsize=2)
def _times(n_units: int) -> Tensor:
    """(R, U) float64: how often each unit is drawn."""
    return torch.stack(list(draws(n_units, N_RESAMPLES))).double()


def undefined(figure: str, axis: str) -> Estimate:
    """What a system has no figure for."""
    return Estimate(figure, axis, math.nan, math.nan, math.nan)
