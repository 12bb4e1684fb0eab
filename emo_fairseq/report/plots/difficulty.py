"""Accuracy, or absolute error, against the distance to the prototype of the class."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from emo_fairseq.evaluation.statistics import LabelPredictions
from emo_fairseq.evaluation.tables import Table, format_interval, format_number
from emo_fairseq.report.plots.drawing import (
    BLUE,
    FAINT,
    INK,
    MaybePlot,
    NotDrawn,
    Plot,
)
from emo_fairseq.report.scored_split import ScoredSplit

N_BINS = 20


class Bin(NamedTuple):
    """Utterances of one range of difficulty, the mean of their values, and its 95 % interval."""

    n: int
    easiest: float
    hardest: float
    mean: float
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


def by_difficulty(difficulty: np.ndarray, values: np.ndarray, is_share: bool) -> list[Bin]:
    """Return the mean value of each bin, with its 95 % interval.

    Args:
        difficulty: (N,), NaN = unknown: left out.
        values: (N,), such as 1 where right and 0 where wrong; NaN = unknown: left out.
        is_share: whether values are 0 or 1: then the interval is Wilson's (1927), else that of
            Student's t.
    """
    known = ~(np.isnan(difficulty) | np.isnan(values))
    difficulty, values = difficulty[known], values[known]
    if not len(difficulty):
        return []
    number = quantile_bins(difficulty, min(N_BINS, len(difficulty)))
    bins = []
    for index in range(int(number.max()) + 1):
        inside, of_bin = difficulty[number == index], values[number == index]
        low, high = _wilson(of_bin) if is_share else _student(of_bin)
        easiest, hardest = float(inside.min()), float(inside.max())
        bins.append(Bin(len(of_bin), easiest, hardest, float(of_bin.mean()), low, high))
    return bins


def _wilson(values: np.ndarray) -> tuple[float, float]:
    result = stats.binomtest(int(values.sum()), len(values))
    interval = result.proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _student(values: np.ndarray) -> tuple[float, float]:
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def rank_correlation(difficulty: np.ndarray, values: Sequence[float] | np.ndarray) -> float:
    """Return Spearman's correlation over the known rows; NaN if either is constant."""
    values = np.asarray(values, dtype=np.float64)
    known = ~(np.isnan(difficulty) | np.isnan(values))
    if known.sum() < 2 or min(np.ptp(difficulty[known]), np.ptp(values[known])) == 0:
        return float("nan")
    return float(stats.spearmanr(difficulty[known], values[known]).statistic)


_NAME = "difficulty against accuracy"


def plots(scored: ScoredSplit) -> Iterator[MaybePlot]:
    """One curve, if the data dir has prototypes and VAD."""
    if not scored.annotations.is_given:
        yield NotDrawn(_NAME, "no --data: no prototypes")
        return
    if scored.annotations.prototypes is None:
        yield NotDrawn(_NAME, scored.annotations.no_prototypes)
        return
    difficulty = scored.annotations.difficulty()
    values, is_share, measure = _values(scored)
    bins = by_difficulty(difficulty, values, is_share)
    if len(bins) < 2:
        yield NotDrawn(_NAME, "no two utterances with a label, VAD and different difficulties")
        return
    rho = format_number(rank_correlation(difficulty, values))
    easiest, hardest = (format_number(of_bin.mean) for of_bin in (bins[0], bins[-1]))
    n = sum(of_bin.n for of_bin in bins)
    ends = "Wilson's" if is_share else "Student's"
    yield Plot(
        "difficulty",
        f"Difficulty against {measure}",
        f"Difficulty is the distance of an utterance's annotated VAD to the prototype of its class "
        f"(train split). {n} utterances in {len(bins)} bins of equal number where difficulties "
        f"differ; lines are {ends} 95 % intervals. Spearman's ρ over utterances: {rho}.",
        f"Curve of {measure} in {len(bins)} bins of difficulty: {easiest} for the "
        f"easiest, {hardest} for the hardest, Spearman's rho {rho}.",
        lambda drawn: _draw(drawn, bins, measure, is_share),
        table=_table(bins, measure),
    )


def _values(scored: ScoredSplit) -> tuple[np.ndarray, bool, str]:
    """(N,) of each utterance, whether it is 0 or 1, and measure it is called."""
    system = scored.predictions
    if isinstance(system, LabelPredictions):
        right = (system.truth == system.prediction).astype(np.float64)
        return np.where(system.has_truth, right, np.nan), True, "accuracy"
    difference = abs(system.truth - system.prediction)
    known = ~np.isnan(difference)
    with np.errstate(invalid="ignore"):
        error = np.where(known, difference, 0.0).sum(axis=1) / known.sum(axis=1)
    return error, False, "absolute error"


def _draw(figure: Any, bins: Sequence[Bin], measure: str, is_share: bool) -> None:
    axes = figure.add_subplot()
    middle = [(of_bin.easiest + of_bin.hardest) / 2 for of_bin in bins]
    values = [of_bin.mean for of_bin in bins]
    axes.hlines(values, *zip(*[of_bin[1:3] for of_bin in bins], strict=True), color=FAINT, lw=3)
    axes.vlines(middle, *zip(*[of_bin[4:] for of_bin in bins], strict=True), color=INK, lw=1)
    axes.plot(middle, values, color=BLUE, marker="o", markersize=4)
    axes.set_xlabel("difficulty: distance to the prototype")
    axes.set_ylabel(measure)
    if is_share:
        axes.set_ylim(0.0, 1.02)


def _table(bins: Sequence[Bin], measure: str) -> Table:
    rows = [
        [
            format_interval((b.easiest, b.hardest)),
            f"{b.n}",
            format_number(b.mean),
            format_interval((b.low, b.high)),
        ]
        for b in bins
    ]
    assert len(rows) <= N_BINS
    return Table(["difficulty", "n", measure, "95 % interval"], rows)
