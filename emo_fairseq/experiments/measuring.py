"""A system's figures over its runs, and over the predictions of all its folds together."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import (
    NO_INTERVAL,
    Derive,
    Interval,
    Speakers,
    bootstrap,
    leave_one_out,
    percentile_interval,
    speaker_interval,
)
from emo_fairseq.experiments.answers import (
    Answers,
    Figures,
    aligned,
    joined,
)
from emo_fairseq.experiments.results import (
    Result,
    speakers,
)
from emo_fairseq.experiments.systems import System
from emo_fairseq.experiments.tests_of_difference import OtherTest


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
        utterances, speakers: 95 % intervals of `pooled` over them.
        difference: `pooled` less that of the first system, on the rows that both have.
        difference_ends: its 95 % interval over utterances.
        p, p_speakers: of the difference, over utterances and over speakers.
        other: Wilcoxon's or McNemar's test.
        p_holm, p_speakers_holm, other_holm: the three corrected for all tests of the table.
        no_speakers: why there is nothing over speakers; empty if there is.
    """

    system: str
    part: str
    metric: str
    n_runs: int
    n_missing: int
    mean: float
    deviation: float
    pooled: float = math.nan
    utterances: Interval = NO_INTERVAL
    speakers: Interval = NO_INTERVAL
    difference: float = math.nan
    difference_ends: Interval = NO_INTERVAL
    p: float = math.nan
    p_speakers: float = math.nan
    other: OtherTest | None = None
    p_holm: float = math.nan
    p_speakers_holm: float = math.nan
    other_holm: float = math.nan
    no_speakers: str = ""


class Pooled:
    """Several predictions of the same rows, and their figures in resamples of these.

    Args:
        runs: one or more, of the same rows.
        speakers: who speaks these rows.
        n_resamples: of the bootstrap over utterances.
    """

    def __init__(self, runs: Sequence[Answers], speakers: Speakers, n_resamples: int) -> None:
        self.runs, self.speakers, self._n_resamples = runs, speakers, n_resamples
        self._of_runs = [run.figures() for run in runs]

    def figure(self, metric: str) -> float:
        """Its mean over the runs."""
        return statistics.fmean(figures[metric] for figures in self._of_runs)

    @cached_property
    def by_utterance(self) -> dict[str, Tensor]:
        """Each figure's mean over the runs in resamples of the utterances, (R,)."""
        return bootstrap(*self._scores(), self._n_resamples)

    @cached_property
    def without_speaker(self) -> dict[str, Tensor]:
        """The same without each of the speakers, (S,); empty if they are unknown or too few."""
        return {} if self.speakers.refusal else leave_one_out(*self._scores(), self.speakers)

    def _scores(self) -> tuple[list[Tensor], Derive]:
        return [run.statistics() for run in self.runs], self.runs[0].derive

    def of_rows(self, runs: Sequence[Answers]) -> "Pooled":
        """The same with some of the rows: itself if these are all."""
        if runs[0].keys == self.runs[0].keys:
            return self
        row_of = {key: row for row, key in enumerate(self.runs[0].keys)}
        kept = [row_of[key] for key in runs[0].keys]
        return Pooled(runs, self.speakers.of_rows(kept), self._n_resamples)


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
        pooled = self.pooled
        row = replace(row, pooled=pooled.figure(metric), no_speakers=pooled.speakers.refusal)
        if metric in pooled.by_utterance:  # of sentiment scores some are not: no sums
            row = replace(row, utterances=percentile_interval(pooled.by_utterance[metric]))
        if metric in pooled.without_speaker:
            left_out = pooled.without_speaker[metric]
            ends = speaker_interval(metric, row.pooled, left_out, pooled.speakers.effective)
            row = replace(row, speakers=ends)
        return row


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


def _speakers(system: System, run: Answers) -> Speakers:
    data = next(iter(system.results.values())).data
    known = speakers(data)
    return Speakers.named([known.get(name) for _, name in run.keys])
