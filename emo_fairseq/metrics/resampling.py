"""How far a figure could have come out otherwise: bootstrap over utterances, or over speakers.

Efron and Tibshirani 1993, "An introduction to the bootstrap". Figures that derive from sums over
utterances (:func:`emo_fairseq.metrics.confusion`, :func:`emo_fairseq.metrics.moments`) are derived
again from sums in which each utterance counts as often as it was drawn.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Metric = Callable[[Tensor], float]  # from summed statistics


class Interval(NamedTuple):
    """A figure and its bootstrap interval."""

    figure: float
    low: float
    high: float


class Comparison(NamedTuple):
    """How much the second system is better, with an interval, and how sure that is.

    `p_value` is two-sided: twice the share of resamples in which the difference has the other sign,
    the observed one counted as a resample.
    """

    difference: float
    low: float
    high: float
    p_value: float


def confusion_rows(truth: Tensor, prediction: Tensor, n_classes: int) -> Tensor:
    """(N,) and (N,) -> (N, C, C): each utterance's own confusion, which add up to that of all."""
    cells = torch.zeros(len(truth), n_classes * n_classes, dtype=torch.float64)
    cells.scatter_(1, (truth * n_classes + prediction)[:, None], 1.0)
    return cells.view(-1, n_classes, n_classes)


def draws(n_units: int, n_resamples: int, seed: int = 0) -> Iterator[Tensor]:
    """How often each unit is drawn, (n_units,) int64, resample after resample."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_resamples):
        drawn = torch.randint(n_units, (n_units,), generator=generator)
        yield torch.bincount(drawn, minlength=n_units)


def units_of(names: Sequence[str | None]) -> Tensor | None:
    """Numbers for named units, (N,); None unless every utterance names one of two or more.

    >>> units_of(["mark", "rachel", "mark"]).tolist()
    [0, 1, 0]
    """
    if None in names or len(set(names)) < 2:
        return None
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([number[name] for name in names])


def bootstrap(
    runs: Sequence[Tensor],
    metric: Metric,
    units: Tensor | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Tensor:
    """The mean of a metric over several runs, in resamples of the utterances that all have scored.

    Args:
        runs: (N, ...) statistics of each utterance, one tensor a run (seed), rows alike in all.
        metric: of their sum over the utterances.
        units: (N,) int64 from 0, such as speakers: drawn whole. None means each utterance alone.
        n_resamples: R.
        seed: the same seed draws the same utterances, whatever the runs.

    Returns:
        (R,) float64; NaN where the metric is undefined in a resample.

    Raises:
        ValueError: no run, or runs of different numbers of rows.
    """
    if not runs or len({len(run) for run in runs}) != 1:
        raise ValueError(f"runs of {[len(run) for run in runs]} utterances cannot be resampled")
    n_rows = len(runs[0])
    unit_of = torch.arange(n_rows) if units is None else units
    n_units = int(unit_of.max()) + 1
    figures = torch.empty(n_resamples, dtype=torch.float64)
    for number, drawn in enumerate(draws(n_units, n_resamples, seed)):
        times = drawn[unit_of].double()  # (N,)
        sums = [torch.tensordot(times, run.double(), dims=1) for run in runs]
        figures[number] = sum(metric(one) for one in sums) / len(sums)
    return figures


def interval(
    runs: Sequence[Tensor], metric: Metric, units: Tensor | None = None, level: float = 0.95
) -> Interval:
    """The mean over runs, and its percentile interval; see :func:`bootstrap`."""
    figure = sum(metric(run.double().sum(dim=0)) for run in runs) / len(runs)
    return Interval(figure, *percentiles(bootstrap(runs, metric, units), level))


def compare(
    runs: Sequence[Tensor],
    others: Sequence[Tensor],
    metric: Metric,
    units: Tensor | None = None,
    level: float = 0.95,
) -> Comparison:
    """Paired: `others` less `runs`, both in the same resamples of the same utterances."""
    drawn = bootstrap(others, metric, units) - bootstrap(runs, metric, units)
    observed = interval(others, metric, units, level).figure - interval(runs, metric, units).figure
    return Comparison(observed, *percentiles(drawn, level), p_value(drawn))


def p_value(differences: Tensor) -> float:
    """Of resampled differences (R,): twice the share with the rarer sign, two-sided.

    The observed difference counts as a resample, so it is never 0; NaN if none is defined.
    """
    known = differences[~differences.isnan()]
    if not len(known):
        return math.nan
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return min(1.0, 2.0 * min(below, above) / (len(known) + 1))


def percentiles(figures: Tensor, level: float = 0.95) -> tuple[float, float]:
    """The ends of the middle `level` of resampled figures (R,); NaN if none is defined."""
    tail = (1.0 - level) / 2.0
    known = figures[~figures.isnan()]
    if not len(known):
        return math.nan, math.nan
    low, high = torch.quantile(known, torch.tensor([tail, 1.0 - tail], dtype=known.dtype))
    return float(low), float(high)
