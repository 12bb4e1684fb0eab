"""Bootstrap intervals of all figures at once, from the same resamples."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from emo_fairseq.metrics import resampling
from emo_fairseq.report.statistics import Statistics

LEVEL = 0.95
N_RESAMPLES = 1000


class Interval(NamedTuple):
    """The middle 95 % of what a figure came to in the resamples; NaN if it never was defined."""

    low: float
    high: float


def intervals(
    statistics: Statistics, units: Tensor | None = None, n_resamples: int = N_RESAMPLES
) -> dict[str, Interval]:
    """Percentile intervals by figure; see :func:`emo_fairseq.metrics.resampling.bootstrap`.

    Args:
        statistics: of N utterances.
        units: (N,) int64 from 0, such as speakers: drawn whole. None means each utterance alone.
        n_resamples: how often as many units as there are are drawn.
    """
    drawn: list[dict[str, float]] = []

    def keep(sums: Tensor) -> float:
        drawn.append(statistics.derive(sums))
        return 0.0

    resampling.bootstrap([statistics.rows], keep, units, n_resamples)
    return {name: _middle([figures[name] for figures in drawn]) for name in drawn[0]}


def _middle(values: Sequence[float]) -> Interval:
    figures = torch.tensor(values, dtype=torch.float64)
    defined = figures.masked_fill(~figures.isfinite(), math.nan)
    return Interval(*resampling.percentiles(defined, LEVEL))
