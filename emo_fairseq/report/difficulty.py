"""Accuracy, or absolute error, of utterances that lie equally far from their prototype."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

N_BINS = 20


class Bin(NamedTuple):
    """Utterances of one range of difficulty; `low` and `high` are a 95 % interval of the figure."""

    n: int
    easiest: float
    hardest: float
    figure: float
    low: float
    high: float


def quantile_bins(difficulty: np.ndarray, n_bins: int = N_BINS) -> np.ndarray:
    """(N,) -> (N,) bin numbers from 0, by quantiles of the difficulties.

    Equal difficulties share a bin, so that bins may differ in size, or be fewer.

    >>> quantile_bins(np.array([0.1, 0.4, 0.2, 0.3]), 2).tolist()
    [0, 1, 0, 1]
    """
    edges = np.quantile(difficulty, np.linspace(0.0, 1.0, n_bins + 1))[1:-1]
    return np.unique(np.searchsorted(edges, difficulty, side="left"), return_inverse=True)[1]


def by_difficulty(difficulty: np.ndarray, figure: np.ndarray, is_share: bool) -> list[Bin]:
    """The mean figure of each bin.

    Args:
        difficulty: (N,), NaN = unknown: left out.
        figure: (N,), such as 1 where right and 0 where wrong; NaN = unknown: left out.
        is_share: whether figures are 0 or 1: then the interval is Wilson's (1927), else that of
            Student's t.
    """
    known = ~(np.isnan(difficulty) | np.isnan(figure))
    difficulty, figure = difficulty[known], figure[known]
    if not len(difficulty):
        return []
    number = quantile_bins(difficulty, min(N_BINS, len(difficulty)))
    found = []
    for place in range(int(number.max()) + 1):
        inside, values = difficulty[number == place], figure[number == place]
        low, high = _wilson(values) if is_share else _student(values)
        ends = float(inside.min()), float(inside.max())
        found.append(Bin(len(values), *ends, float(values.mean()), low, high))
    return found


def _wilson(values: np.ndarray) -> tuple[float, float]:
    result = stats.binomtest(int(values.sum()), len(values))
    interval = result.proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _student(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def rank_correlation(difficulty: np.ndarray, figure: Sequence[float] | np.ndarray) -> float:
    """Spearman's correlation over the known rows; NaN if either is constant."""
    figure = np.asarray(figure, dtype=np.float64)
    known = ~(np.isnan(difficulty) | np.isnan(figure))
    if known.sum() < 2 or min(np.ptp(difficulty[known]), np.ptp(figure[known])) == 0:
        return float("nan")
    return float(stats.spearmanr(difficulty[known], figure[known]).statistic)
