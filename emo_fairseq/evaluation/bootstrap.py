"""Intervals and p-values of figures, over utterances and over speakers.

A figure derives from the sum of statistics over utterances (:mod:`emo_fairseq.metrics`). Every
resample is a row of weights, one weight a group of utterances, and its figures derive from the
weighted sum: one product of matrices for all resamples.

Over utterances: the percentile bootstrap (Efron and Tibshirani 1993, "An introduction to the
bootstrap", chapter 13). Each utterance is a group, its weight how often it was drawn.

Over speakers: Student's t with the standard error of the delete-one-speaker jackknife (Tukey 1958;
Efron and Tibshirani 1993, chapter 11). Each speaker is a group, each resample lacks one. For the
figure x, x_s without speaker s, and n_s utterances of each of S speakers,

    SE² = (S - 1) / S * sum over s of (x_s - mean of x_s)²
    effective speakers = (sum of n_s)² / sum of n_s²        (Kish 1965; S if all n_s are equal)
    interval = x ± t(.975; effective speakers - 1) * SE

The interval of a share is that of its logit, of a correlation that of Fisher's z, mapped back: they
have more nearly symmetric errors. Differences are tested as they are.

A bootstrap of few speakers does not hold: ``docs/statistics.md`` has the coverage of both, from
simulations. Below :data:`MIN_SPEAKERS` effective speakers there is no interval and no p-value.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from scipy.special import stdtr, stdtrit
from torch import Tensor

from emo_fairseq.metrics.derivations import bounds_of

LEVEL = 0.95
N_RESAMPLES = 1000
MIN_SPEAKERS = 3  # effective ones; see docs/statistics.md
NOT_SEEDS = (
    "intervals and p-values are of the trained models as they are: they do not contain the "
    "variance over seeds"
)
OVER_UTTERANCES = "percentile bootstrap over utterances"
OVER_SPEAKERS = "Student's t over speakers, by the delete-one-speaker jackknife"
_CHUNK = 50  # resamples
_LEFT_OUT = 1000  # speakers whose weights, a number for each speaker, are in memory at once
_ROUNDING = 1e-12  # a standard error below it is that of equal figures

Derive = Callable[[Tensor], Mapping[str, float]]  # (D,) summed statistics -> figures by name
Figures = dict[str, Tensor]  # by name, (R,) float64: one value a resample


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

    numbers: Tensor
    n_unknown: int = 0

    @classmethod
    def named(cls, names: Sequence[str | None]) -> "Speakers":
        """Number the speakers of N utterances in the order of their first ones.

        >>> Speakers.named(["mark", "rachel", "mark"]).numbers.tolist()
        [0, 1, 0]
        """
        if n_unknown := sum(name is None for name in names):
            return cls(torch.empty(0, dtype=torch.int64), n_unknown)
        number = {name: index for index, name in enumerate(dict.fromkeys(names))}
        return cls(torch.tensor([number[name] for name in names], dtype=torch.int64))

    def of_rows(self, rows: Sequence[int]) -> "Speakers":
        """Those of some of the utterances."""
        if self.n_unknown:
            return self
        _, numbers = self.numbers[list(rows)].unique(return_inverse=True)
        return Speakers(numbers)

    @functools.cached_property
    def counts(self) -> Tensor:
        """(S,) float64, the utterances of each speaker."""
        return torch.bincount(self.numbers).double()

    @property
    def effective(self) -> float:
        """How many speakers of equally many utterances carry as much information (Kish 1965).

        >>> Speakers.named(["a", "a", "a", "a", "b", "c"]).effective
        2.0
        """
        if not len(self.numbers):
            return 0.0
        return float(self.counts.sum() ** 2 / self.counts.square().sum())

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


def resample(
    runs: Sequence[Tensor], derive: Derive, weights: Tensor, groups: Tensor | None = None
) -> Figures:
    """Return every figure's mean over several runs in each resample.

    Args:
        runs: (N, D) statistics of each utterance, one tensor a run (seed), rows alike in all.
        derive: from the (D,) sum of the statistics to figures.
        weights: (R, G), what the utterances of each group count in each resample.
        groups: (N,) int64 from 0, the group of each utterance; None = each utterance by itself.

    Returns:
        (R,) float64 by the figure's name; NaN where it is undefined in a resample.

    Raises:
        ValueError: no run, or runs of different numbers of rows.
    """
    _check_runs(runs)
    totals: Figures = {}
    for rows in runs:
        if groups is not None:
            rows = rows.new_zeros(weights.shape[1], rows.shape[1]).index_add_(0, groups, rows)
        for first in range(0, len(weights), _CHUNK):
            sums = weights[first : first + _CHUNK].to(rows.dtype) @ rows  # (chunk, D)
            for number, of_resample in enumerate(sums, start=first):
                for name, figure in derive(of_resample).items():
                    if name not in totals:
                        totals[name] = torch.zeros(len(weights), dtype=torch.float64)
                    totals[name][number] += figure
    return {name: total / len(runs) for name, total in totals.items()}


def _check_runs(runs: Sequence[Tensor]) -> None:
    if not runs or len({len(run) for run in runs}) != 1:
        raise ValueError(f"runs of {[len(run) for run in runs]} utterances cannot be resampled")


def bootstrap(
    runs: Sequence[Tensor], derive: Derive, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Figures:
    """Resample utterances with replacement; see :func:`resample`.

    The same seed draws the same utterances, whatever the runs: systems are compared by the
    difference of their figures in the same resamples.
    """
    _check_runs(runs)
    return resample(runs, derive, _bootstrap_weights(len(runs[0]), n_resamples, seed))


@functools.lru_cache(maxsize=2)
def _bootstrap_weights(n_rows: int, n_resamples: int, seed: int) -> Tensor:
    """(R, N) uint8: how often each utterance is drawn."""
    weights = torch.empty(n_resamples, n_rows, dtype=torch.uint8)
    for row, drawn in zip(weights, _draws(n_rows, n_resamples, seed), strict=True):
        row.copy_(drawn)
    return weights


def _draws(n_rows: int, n_resamples: int, seed: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_resamples):
        drawn = torch.randint(n_rows, (n_rows,), generator=generator)
        yield torch.bincount(drawn, minlength=n_rows)


def leave_one_out(runs: Sequence[Tensor], derive: Derive, speakers: Speakers) -> Figures:
    """Return the figures without each of S speakers, (S,) each; see :func:`resample`."""
    n_speakers = len(speakers.counts)
    parts = []
    for first in range(0, n_speakers, _LEFT_OUT):
        left_out = torch.arange(first, min(first + _LEFT_OUT, n_speakers))
        weights = torch.ones(len(left_out), n_speakers, dtype=torch.float64)
        weights[torch.arange(len(left_out)), left_out] = 0.0
        parts.append(resample(runs, derive, weights, speakers.numbers))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def percentile_interval(figures: Tensor, level: float = LEVEL) -> Interval:
    """Return the ends of the middle `level` of resampled figures (R,); NaN if none is finite."""
    tail = (1.0 - level) / 2.0
    known = figures[figures.isfinite()]
    if not len(known):
        return NO_INTERVAL
    low, high = torch.quantile(known, torch.tensor([tail, 1.0 - tail], dtype=known.dtype))
    return Interval(float(low), float(high))


def p_value(differences: Tensor) -> float:
    """Return twice the share of resampled differences (R,) with the rarer sign, two-sided.

    The observed difference counts as a resample, so it is never 0; NaN if none is defined.
    """
    known = differences[~differences.isnan()]
    if not len(known):
        return math.nan
    below, above = int((known <= 0).sum()) + 1, int((known >= 0).sum()) + 1
    return min(1.0, 2.0 * min(below, above) / (len(known) + 1))


def jackknife_error(left_out: Tensor) -> float:
    """Return the standard error of a figure from its values without each of S speakers, (S,).

    NaN if one of them is undefined.

    >>> round(jackknife_error(torch.tensor([2.5, 2.0, 1.5])), 4)  # the mean of 1, 2 and 3
    0.5774
    """
    n = len(left_out)
    return math.sqrt((n - 1) / n * float((left_out - left_out.mean()).square().sum()))


def t_interval(figure: float, left_out: Tensor, effective: float, level: float = LEVEL) -> Interval:
    """Return ``figure ± t(effective - 1) * jackknife_error(left_out)``.

    Args:
        figure: of all speakers.
        left_out: (S,), the same without each of them.
        effective: :attr:`Speakers.effective`.
        level: of confidence.
    """
    half = stdtrit(effective - 1.0, (1.0 + level) / 2.0) * jackknife_error(left_out)
    return Interval(figure - half, figure + half)


def t_test(difference: float, left_out: Tensor, effective: float) -> float:
    """Return the two-sided p-value of a difference, from its values without each speaker, (S,).

    It is below 1 - `level` where :func:`t_interval` does not hold 0. 1 for no difference at all;
    NaN where it is undefined, or the same for all speakers, which leaves no error to measure it by.
    """
    error = jackknife_error(left_out)
    if not error > _ROUNDING:
        return 1.0 if abs(difference) <= _ROUNDING else math.nan
    return float(2.0 * stdtr(effective - 1.0, -abs(difference) / error))


def intervals(
    runs: Sequence[Tensor],
    derive: Derive,
    speakers: Speakers | None = None,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Interval]:
    """Return the 95 % interval of every figure's mean over runs.

    Args:
        runs: see :func:`resample`.
        derive: see :func:`resample`.
        speakers: of the N utterances; None = over utterances.
        n_resamples: of the bootstrap over utterances.

    Returns:
        By the figure's name, within the figure's bounds; NaN where the figure is undefined.

    Raises:
        ValueError: the speakers are too few; see :attr:`Speakers.refusal`.
    """
    if speakers is None:
        drawn = bootstrap(runs, derive, n_resamples)
        return {name: percentile_interval(figures) for name, figures in drawn.items()}
    if speakers.refusal:
        raise ValueError(speakers.refusal)
    of_all = figures_of(runs, derive)
    left_out = leave_one_out(runs, derive, speakers)
    return {
        name: speaker_interval(name, of_all[name], figures, speakers.effective)
        for name, figures in left_out.items()
    }


def figures_of(runs: Sequence[Tensor], derive: Derive) -> dict[str, float]:
    """Return every figure's mean over runs, of all utterances."""
    found = [derive(rows.sum(dim=0)) for rows in runs]
    return {name: math.fsum(figures[name] for figures in found) / len(found) for name in found[0]}


def speaker_interval(name: str, figure: float, left_out: Tensor, effective: float) -> Interval:
    """Return the interval of the figure of this name over speakers, within the figure's bounds.

    On the scale of :data:`_SCALES`; on the figure's own, and cut to its bounds, where it is an
    error, or where a value is at a bound, which those scales have no number for.

    Args:
        name: of the figure, such as ``uar``.
        figure: of all speakers.
        left_out: (S,), the same without each of them.
        effective: :attr:`Speakers.effective`.
    """
    smallest, largest = bounds_of(name)
    values = torch.cat([torch.tensor([figure], dtype=torch.float64), left_out])
    inside = bool(((smallest < values) & (values < largest)).all())
    if inside and (smallest, largest) in _SCALES:
        scale, inverse = _SCALES[smallest, largest]
        scaled = scale(values)
        ends = t_interval(float(scaled[0]), scaled[1:], effective)
        return Interval(*inverse(torch.tensor(ends, dtype=torch.float64)).tolist())
    low, high = t_interval(figure, left_out, effective)
    if math.isnan(low):
        return NO_INTERVAL
    return Interval(max(smallest, low), min(largest, high))


#: By bounds: a scale without them, and the way back.
_SCALES: dict[tuple[float, float], tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]
_SCALES = {(0.0, 1.0): (torch.logit, torch.sigmoid), (-1.0, 1.0): (torch.atanh, torch.tanh)}
