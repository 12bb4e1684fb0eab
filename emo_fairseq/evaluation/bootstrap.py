"""Intervals and p-values of metrics, over utterances and over speakers.

Everything here takes ``(rows, derive)``: statistics of N utterances, (N, D), or one such tensor for
each of several runs (seeds) on the same utterances, and the function that derives metrics from
their sum; see :mod:`emo_fairseq.evaluation.statistics`. A metric of several runs is the mean of
theirs.

Over utterances: the percentile bootstrap (Efron and Tibshirani 1993, "An introduction to the
bootstrap", chapter 13).

Over speakers: Student's t with the standard error of the delete-one-speaker jackknife (Tukey 1958;
Efron and Tibshirani 1993, chapter 11). For the metric x, x_s without speaker s, and n_s utterances
of each of S speakers,

    SE² = (S - 1) / S * sum over s of (x_s - mean of x_s)²
    effective speakers = (sum of n_s)² / sum of n_s²        (Kish 1965; S if all n_s are equal)
    interval = x ± t(.975; effective speakers - 1) * SE

The interval of a share is that of its logit, of a correlation that of Fisher's z, mapped back: they
have more nearly symmetric errors. Differences are tested as they are.

A bootstrap of few speakers is too narrow: ``docs/explanation/statistics.md`` has the coverage of
both, from simulations. Below :data:`MIN_SPEAKERS` effective speakers there is no interval and no
p-value.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emo_fairseq.evaluation.names import N_RESAMPLES, bounds

LEVEL = 0.95
MIN_SPEAKERS = 3  # effective ones; see docs/explanation/statistics.md
NOT_SEEDS = (
    "intervals and p-values are of the trained models as they are: they do not contain the "
    "variance over seeds"
)
OVER_UTTERANCES = "percentile bootstrap over utterances"
OVER_SPEAKERS = "Student's t over speakers, by the delete-one-speaker jackknife"
_CHUNK = 50  # resamples whose weights are in memory as float64 at once
_ROUNDING = 1e-12  # a standard error below it is that of equal metrics

Rows = np.ndarray | Sequence[np.ndarray]  # (N, D), or one such tensor a run
Derive = Callable[[np.ndarray], Mapping[str, float]]  # (D,) summed statistics -> metrics by key
Resampled = dict[str, np.ndarray]  # by key, (R,) float64: one value a resample


class Interval(NamedTuple):
    """The ends of an interval; NaN where there is none."""

    low: float
    high: float


NO_INTERVAL = Interval(math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class Speakers:
    """Who speaks each of N utterances.

    Attributes:
        numbers: (N,) int64, the speaker of each utterance, from 0; empty if one is not known.
        n_unknown: utterances that name no speaker.
    """

    numbers: np.ndarray
    n_unknown: int = 0

    @classmethod
    def from_names(cls, names: Sequence[str | int | None]) -> "Speakers":
        """Number the speakers of N utterances in the order of their first ones.

        >>> Speakers.from_names(["mark", "rachel", "mark"]).numbers.tolist()
        [0, 1, 0]
        """
        if n_unknown := sum(name is None for name in names):
            return cls(np.empty(0, dtype=np.int64), n_unknown)
        number = {name: index for index, name in enumerate(dict.fromkeys(names))}
        return cls(np.array([number[name] for name in names], dtype=np.int64))

    def select(self, rows: Sequence[int]) -> "Speakers":
        """Return the speakers of some of the utterances, numbered by their first ones, too.

        >>> Speakers.from_names(["mark", "rachel", "mark"]).select([1, 2]).numbers.tolist()
        [0, 1]
        """
        if self.n_unknown:
            return self
        return Speakers.from_names(self.numbers[list(rows)].tolist())

    @functools.cached_property
    def counts(self) -> np.ndarray:
        """(S,) float64, the utterances of each speaker."""
        return np.bincount(self.numbers).astype(np.float64)

    @property
    def effective(self) -> float:
        """How many speakers of equally many utterances carry as much information (Kish 1965).

        >>> Speakers.from_names(["a", "a", "a", "a", "b", "c"]).effective
        2.0
        """
        if not len(self.numbers):
            return 0.0
        return float(self.counts.sum() ** 2 / (self.counts**2).sum())

    @property
    def refusal(self) -> str:
        """Why there is no interval over these speakers; empty if there is one."""
        if self.n_unknown:
            return f"{self.n_unknown} utterances have no known speaker: no interval over speakers"
        n, effective = len(self.counts), self.effective
        if effective > MIN_SPEAKERS - _ROUNDING:
            return ""
        if n < MIN_SPEAKERS:
            return f"{n} speaker{'s' * (n != 1)} < {MIN_SPEAKERS}: no interval over speakers"
        return (
            f"{n} speakers with such unequal numbers of utterances count as {effective:.1f} < "
            f"{MIN_SPEAKERS}: no interval over speakers"
        )


class Estimate(NamedTuple):
    """A metric and the ends of its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """A paired difference, the ends of its 95 % interval, and its two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def estimates(
    rows: Rows, derive: Derive, speakers: Speakers | None = None, n_resamples: int = N_RESAMPLES
) -> dict[str, Estimate]:
    """Return every metric with its interval; see :func:`intervals`.

    >>> from emo_fairseq.evaluation.statistics import LabelPredictions
    >>> truth, prediction = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> of = LabelPredictions(("u1", "u2", "u3", "u4"), ("sad", "happy"), truth, prediction)
    >>> rows, derive = of.statistics()
    >>> uar = estimates(rows, derive)["uar"]
    >>> uar.value, uar.low < uar.value <= uar.high
    (0.75, True)
    """
    values, ends = mean_over_runs(rows, derive), intervals(rows, derive, speakers, n_resamples)
    return {key: Estimate(values[key], *ends[key]) for key in values}


def differences(
    rows: Rows,
    others: Rows,
    derive: Derive,
    speakers: Speakers | None = None,
) -> dict[str, Difference]:
    """Return the paired difference of every metric, first minus other, with its interval and p.

    Both are measured in the same resamples of utterances, or without the same speakers.

    >>> rows = np.array([[1.0], [0.0], [1.0], [1.0]])
    >>> differences(rows, rows, lambda sums: {"x": float(sums[0]) / 4})["x"]
    Difference(value=0.0, low=0.0, high=0.0, p=1.0)

    Args:
        rows: as for :func:`intervals`.
        others: of the same utterances.
        derive: from the (D,) sum of either to metrics by key.
        speakers: of the utterances; None = over utterances.

    Raises:
        ValueError: the speakers are too few; see :attr:`Speakers.refusal`.
    """
    ours, theirs = mean_over_runs(rows, derive), mean_over_runs(others, derive)
    if speakers is None:
        drawn = bootstrap(rows, derive), bootstrap(others, derive)
    elif speakers.refusal:
        raise ValueError(speakers.refusal)
    else:
        drawn = leave_one_out(rows, derive, speakers), leave_one_out(others, derive, speakers)
    by_key = {}
    for key, value in ours.items():
        difference, resampled = value - theirs[key], drawn[0][key] - drawn[1][key]
        if speakers is None:
            ends, p = percentile_interval(resampled), p_value(resampled)
        else:
            ends = t_interval(difference, resampled, speakers.effective)
            p = t_test(difference, resampled, speakers.effective)
        by_key[key] = Difference(difference, *ends, p)
    return by_key


def mean_over_runs(rows: Rows, derive: Derive) -> dict[str, float]:
    """Return every metric of all utterances, the mean over runs."""
    of_runs = [derive(run.sum(axis=0)) for run in _runs(rows)]
    return {key: math.fsum(run[key] for run in of_runs) / len(of_runs) for key in of_runs[0]}


def _runs(rows: Rows) -> Sequence[np.ndarray]:
    runs = [rows] if isinstance(rows, np.ndarray) else rows
    if not runs or len({len(run) for run in runs}) != 1:
        raise ValueError(f"runs of {[len(run) for run in runs]} utterances cannot be resampled")
    return runs


def bootstrap(
    rows: Rows, derive: Derive, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Resampled:
    """Return every metric in resamples of the utterances, drawn with replacement.

    The same seed draws the same utterances, whatever the runs: two systems are compared by the
    difference of their metrics in the same resamples.

    Args:
        rows: (N, D) statistics of the utterances; or several runs of the same utterances.
        derive: from the (D,) sum of the statistics to metrics by key.
        n_resamples: R.
        seed: of the draws.

    Returns:
        (R,) float64 by key, the mean over runs; NaN where it is undefined in a resample.

    Raises:
        ValueError: no run, or runs of different numbers of rows.
    """
    runs = _runs(rows)
    weights = _draw_weights(len(runs[0]), n_resamples, seed)  # (R, N)

    def drawn(run: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, n_resamples, _CHUNK):
            with np.errstate(invalid="ignore"):  # 0 times an infinite log loss
                sums = weights[start : start + _CHUNK].astype(run.dtype) @ run
            yield from sums  # (D,) each

    return _mean_of_runs([_derive_all(drawn(run), derive) for run in runs])


@functools.lru_cache(maxsize=2)
def _draw_weights(n_rows: int, n_resamples: int, seed: int) -> np.ndarray:
    """Return how often each utterance is drawn in each resample, (R, N) uint8.

    The rows are those of ``torch.randint`` with a generator of this seed: the remainders of 32 bits
    each of MT19937.
    """
    generator = np.random.RandomState(seed)
    weights = np.empty((n_resamples, n_rows), dtype=np.uint8)
    for row in weights:
        drawn = generator.randint(2**32, size=n_rows, dtype=np.uint32) % n_rows
        row[:] = np.bincount(drawn, minlength=n_rows)
    return weights


def leave_one_out(rows: Rows, derive: Derive, speakers: Speakers) -> Resampled:
    """Return every metric without each of S speakers, (S,) by key, the mean over runs."""

    def sums(run: np.ndarray) -> np.ndarray:
        of_speakers = sum_by(speakers.numbers, run, len(speakers.counts))
        with np.errstate(invalid="ignore"):  # of infinite log losses
            return run.sum(axis=0) - of_speakers  # (S, D)

    return _mean_of_runs([_derive_all(sums(run), derive) for run in _runs(rows)])


def sum_by(numbers: np.ndarray, rows: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the sums of rows of each group: (N,) in [0, G), (N, ...) -> (G, ...).

    >>> sum_by(np.array([0, 1, 0]), np.array([[1.0], [2.0], [3.0]]), 2).tolist()
    [[4.0], [2.0]]
    """
    sums = np.zeros((n_groups, *rows.shape[1:]), rows.dtype)
    np.add.at(sums, numbers, rows)
    return sums


def _derive_all(sums: Iterable[np.ndarray], derive: Derive) -> Resampled:
    of_each = [derive(of_resample) for of_resample in sums]
    keys = of_each[0]
    return {key: np.array([x[key] for x in of_each], dtype=np.float64) for key in keys}


def _mean_of_runs(of_runs: Sequence[Resampled]) -> Resampled:
    return {key: np.stack([run[key] for run in of_runs]).mean(axis=0) for key in of_runs[0]}


def percentile_interval(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Return the ends of the middle `level` of resampled values (R,); NaN if none is finite."""
    tail = (1.0 - level) / 2.0
    known = values[np.isfinite(values)]
    if not len(known):
        return NO_INTERVAL
    low, high = np.quantile(known, [tail, 1.0 - tail])
    return Interval(float(low), float(high))


def p_value(differences: np.ndarray) -> float:
    """Return twice the share of resampled differences (R,) with the rarer sign, two-sided.

    The observed difference counts as a resample, so it is never 0; NaN if none is defined.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return math.nan
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return min(1.0, 2.0 * min(below, above) / (len(known) + 1))


def jackknife_error(left_out: np.ndarray) -> float:
    """Return the standard error of a metric from its values without each of S speakers, (S,).

    NaN if one of them is undefined.

    >>> round(jackknife_error(np.array([2.5, 2.0, 1.5])), 4)  # the mean of 1, 2 and 3
    0.5774
    """
    n = len(left_out)
    return math.sqrt((n - 1) / n * float(((left_out - left_out.mean()) ** 2).sum()))


def t_interval(value: float, left_out: np.ndarray, effective: float) -> Interval:
    """Return ``value ± t(effective - 1) * jackknife_error(left_out)``.

    Args:
        value: of all speakers.
        left_out: (S,), the same without each of them.
        effective: :attr:`Speakers.effective`.
    """
    from scipy.special import stdtrit

    half = stdtrit(effective - 1.0, (1.0 + LEVEL) / 2.0) * jackknife_error(left_out)
    return Interval(value - half, value + half)


def t_test(difference: float, left_out: np.ndarray, effective: float) -> float:
    """Return the two-sided p-value of a difference, from its values without each speaker, (S,).

    It is below 1 - `LEVEL` where :func:`t_interval` does not hold 0. 1 for no difference at all;
    NaN where it is undefined, or the same for all speakers, which leaves no error to measure it by.
    """
    from scipy.special import stdtr

    error = jackknife_error(left_out)
    if not error > _ROUNDING:
        return 1.0 if abs(difference) <= _ROUNDING else math.nan
    return float(2.0 * stdtr(effective - 1.0, -abs(difference) / error))


def intervals(
    rows: Rows, derive: Derive, speakers: Speakers | None = None, n_resamples: int = N_RESAMPLES
) -> dict[str, Interval]:
    """Return the 95 % interval of every metric's mean over runs.

    Args:
        rows: (N, D) statistics of the utterances; or several runs of the same utterances.
        derive: from the (D,) sum of the statistics to metrics by key.
        speakers: of the N utterances; None = over utterances.
        n_resamples: of the bootstrap over utterances.

    Returns:
        By key, within the metric's bounds; NaN where the metric is undefined.

    Raises:
        ValueError: the speakers are too few; see :attr:`Speakers.refusal`.
    """
    if speakers is None:
        drawn = bootstrap(rows, derive, n_resamples)
        return {key: percentile_interval(values) for key, values in drawn.items()}
    if speakers.refusal:
        raise ValueError(speakers.refusal)
    of_all, left_out = mean_over_runs(rows, derive), leave_one_out(rows, derive, speakers)
    return {
        key: speaker_interval(key, of_all[key], values, speakers.effective)
        for key, values in left_out.items()
    }


def speaker_interval(key: str, value: float, left_out: np.ndarray, effective: float) -> Interval:
    """Return the interval of a metric over speakers, within the metric's bounds.

    On the scale of :data:`_SCALES`; on the metric's own, and cut to its bounds, where it is an
    error, or where a value is at a bound, which those scales have no number for.

    Args:
        key: of the metric, such as ``uar``.
        value: of all speakers.
        left_out: (S,), the same without each of them.
        effective: :attr:`Speakers.effective`.
    """
    smallest, largest = bounds(key)
    values = np.array([value, *left_out])
    inside = bool(((smallest < values) & (values < largest)).all())
    if inside and (smallest, largest) in _SCALES:
        scale, inverse = _SCALES[smallest, largest]
        scaled = scale(values)
        ends = t_interval(float(scaled[0]), scaled[1:], effective)
        return Interval(*inverse(np.array(ends)).tolist())
    low, high = t_interval(value, left_out, effective)
    if math.isnan(low):
        return NO_INTERVAL
    return Interval(max(smallest, low), min(largest, high))


def _logit(share: np.ndarray) -> np.ndarray:
    return np.log(share / (1.0 - share))


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * logit))  # exp(-logit) of a large one is infinite


_Scale = Callable[[np.ndarray], np.ndarray]
#: By bounds: a scale without them, and the way back.
_SCALES: dict[tuple[float, float], tuple[_Scale, _Scale]]
_SCALES = {(0.0, 1.0): (_logit, _sigmoid), (-1.0, 1.0): (np.arctanh, np.tanh)}
