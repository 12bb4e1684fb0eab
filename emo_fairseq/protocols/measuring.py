"""A system's figures over its runs, and over the predictions of all its folds together."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from emo_fairseq.errors import UsageError
from emo_fairseq.metrics.resampling import percentiles, units_of
from emo_fairseq.protocols.answers import Answers, Figures, aligned, joined
from emo_fairseq.protocols.resampling import resample
from emo_fairseq.protocols.results import Result, speakers
from emo_fairseq.protocols.systems import System
from emo_fairseq.protocols.tests_of_difference import OtherTest

Ends = tuple[float, float]
NO_ENDS = (math.nan, math.nan)


@dataclass(frozen=True)
class Row:
    """One metric of one system; NaN and None are what cannot be said.

    Attributes:
        system: its name.
        part: such as ``fold 1`` or ``seed 2``; empty for all runs.
        metric: its name.
        n_runs: over how many the mean is.
        n_missing: runs that the table has and the system lacks.
        mean, deviation: over the runs (n - 1 in the divisor).
        pooled: of the folds' predictions together, the mean over seeds.
        utterances, speakers: 95 % intervals of `pooled`, by bootstrap over them.
        difference: `pooled` less that of the first system, on the rows that both have.
        difference_ends: its 95 % interval over utterances.
        p, p_holm, p_speakers: of the difference; over utterances, corrected, over speakers.
        other: Wilcoxon's or McNemar's test.
    """

    system: str
    part: str
    metric: str
    n_runs: int
    n_missing: int
    mean: float
    deviation: float
    pooled: float = math.nan
    utterances: Ends = NO_ENDS
    speakers: Ends = NO_ENDS
    difference: float = math.nan
    difference_ends: Ends = NO_ENDS
    p: float = math.nan
    p_holm: float = math.nan
    p_speakers: float = math.nan
    other: OtherTest | None = None


class Pooled:
    """Several predictions of the same rows, and their figures in resamples of these.

    Args:
        runs: one or more, of the same rows.
        units: (N,) int64, the speakers; None if they are not known.
        n_resamples: of the bootstrap.
    """

    def __init__(self, runs: Sequence[Answers], units: Tensor | None, n_resamples: int) -> None:
        self.runs, self.units, self._n_resamples = runs, units, n_resamples
        self._of_runs = [run.figures() for run in runs]

    def figure(self, metric: str) -> float:
        """Its mean over the runs."""
        return statistics.fmean(figures[metric] for figures in self._of_runs)

    @cached_property
    def by_utterance(self) -> Mapping[str, Tensor]:
        """Each figure's mean over the runs in resamples of the utterances, (R,)."""
        return resample(self.runs, None, self._n_resamples)

    @cached_property
    def by_speaker(self) -> Mapping[str, Tensor]:
        """The same in resamples of the speakers; empty if they are not known."""
        return {} if self.units is None else resample(self.runs, self.units, self._n_resamples)

    def of_rows(self, runs: Sequence[Answers]) -> "Pooled":
        """The same with some of the rows: itself if these are all."""
        if runs[0].keys == self.runs[0].keys:
            return self
        if self.units is None:
            return Pooled(runs, None, self._n_resamples)
        unit_of = dict(zip(self.runs[0].keys, self.units.tolist(), strict=True))
        units = units_of([str(unit_of[key]) for key in runs[0].keys])
        return Pooled(runs, units, self._n_resamples)


class Measured:
    """A system's figures.

    Attributes:
        system: the runs.
        figures: of each run, by seed and fold.
        pooled: the predictions of all folds together, one for each complete seed; of another corpus
            than was trained on, one for each run. None if no seed is complete.
        has_differing_rows: whether seeds differ in their rows; `pooled` has those of all.
    """

    def __init__(self, system: System, folds: Sequence[str], n_resamples: int) -> None:
        self.system = system
        self.figures: dict[tuple[int, str], Figures] = {
            place: result.answers.figures() for place, result in system.results.items()
        }
        whole = _whole(system, folds)
        shared = aligned(whole) if whole else []
        self.has_differing_rows = any(len(run) != len(shared[0]) for run in whole)
        self.pooled = None
        if shared and len(shared[0]):
            self.pooled = Pooled(shared, _speakers(system, shared[0]), n_resamples)

    def row(self, metric: str, part: str = "") -> Row:
        """What there is to say of one metric.

        Raises:
            UsageError: there is no such metric.
        """
        for figures in self.figures.values():
            if metric not in figures:
                raise UsageError(f"--metric {metric}: choose from {', '.join(figures)}")
        runs = [figures[metric] for figures in self.figures.values()]
        row = Row(
            *(self.system.name, part, metric, len(runs), len(self.system.missing)),
            *mean_and_deviation(runs),
        )
        if self.pooled is None:
            return row
        by_utterance, by_speaker = self.pooled.by_utterance, self.pooled.by_speaker
        return replace(
            row,
            pooled=self.pooled.figure(metric),
            utterances=percentiles(by_utterance[metric]) if metric in by_utterance else NO_ENDS,
            speakers=percentiles(by_speaker[metric]) if metric in by_speaker else NO_ENDS,
        )


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Over runs; the deviation has n - 1 in its divisor. NaN where a value is, or is the only one.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    if any(math.isnan(value) for value in values):
        return math.nan, math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def is_elsewhere(result: Result) -> bool:
    """Whether it is tested on another corpus, and all folds on the same rows."""
    return result.data != result.options.data


def _whole(system: System, folds: Sequence[str]) -> list[Answers]:
    """Of each complete seed all folds joined; of another corpus each run as it is."""
    results = system.results
    if all(is_elsewhere(result) for result in results.values()):
        return [result.answers for result in results.values()]
    return [
        joined(results[seed, fold].answers for fold in folds)
        for seed in system.seeds
        if all((seed, fold) in results for fold in folds)
    ]


def _speakers(system: System, run: Answers) -> Tensor | None:
    data = next(iter(system.results.values())).data
    known = speakers(data)
    return units_of([known.get(name) for _, name in run.keys])
