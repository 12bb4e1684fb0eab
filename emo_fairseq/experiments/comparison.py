"""Figures of systems over their runs and folds, and tests of the first against the others."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import (
    N_RESAMPLES,
    NO_INTERVAL,
    NOT_SEEDS,
    Derive,
    Interval,
    Speakers,
    bootstrap,
    leave_one_out,
    p_value,
    percentile_interval,
    speaker_interval,
    t_test,
)
from emo_fairseq.evaluation.significance import OtherTest, holm, mcnemar, wilcoxon
from emo_fairseq.experiments.answers import (
    Answers,
    Figures,
    aligned,
    is_correct,
    joined,
)
from emo_fairseq.experiments.runs import speakers_of
from emo_fairseq.experiments.systems import (
    System,
    Table,
)

# --- A system's figures over its runs, and over all its folds together ----------------------------


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
        return Pooled(runs, self.speakers.select(kept), self._n_resamples)


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
                raise UsageError(
                    f"--metric {metric}: choose from {', '.join(figures)}", "metric-unknown"
                )
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


def _whole(system: System, folds: Sequence[str]) -> list[Answers]:
    """Of each complete seed all folds joined; of another corpus each run as it is."""
    results = system.results
    if all(result.is_cross_corpus for result in results.values()):
        return [result.answers for result in results.values()]
    return [
        joined(results[seed, fold].answers for fold in folds)
        for seed in system.seeds
        if all((seed, fold) in results for fold in folds)
    ]


def _speakers(system: System, run: Answers) -> Speakers:
    data = next(iter(system.results.values())).data
    known = speakers_of(data)
    return Speakers.from_names([known.get(name) for _, name in run.keys])


# --- The rows of a table: each system measured, and held against the first ------------------------

BY = ("system", "fold", "seed")
_RECALL = "recall_"
_ALPHA = 0.05
_OF_LABELS = ("uar", "wa", "weighted_f1")
_OF_NUMBERS = ("ccc", "pearson", "mae")


def default_metrics(table: Table) -> list[str]:
    """UAR, WA, weighted F1 and the recall of each class; or CCC, Pearson and MAE of each axis."""
    if table.results[0].answers.has_labels:
        return [*_OF_LABELS, *(f"{_RECALL}{label}" for label in table.names)]
    axes = [f"_{name}" for name in table.names] if len(table.names) > 1 else []
    return [f"{metric}{axis}" for metric in _OF_NUMBERS for axis in ("", *axes)]


def table_rows(
    table: Table,
    metrics: Sequence[str] = (),
    by: str = "system",
    n_resamples: int = N_RESAMPLES,
) -> tuple[list[Row], list[str]]:
    """The rows by metric, then by system, and what is to be known of the rows of predictions.

    Args:
        table: the systems.
        metrics: their names; none means the default ones.
        by: what a row is of: a system, one fold of a system over seeds, one seed over folds.
        n_resamples: of the bootstrap.
    """
    metrics = metrics or default_metrics(table)
    measured = [
        (part, Measured(system, folds, n_resamples))
        for whole in table.systems
        for part, system, folds in _parts(whole, table, by)
        if system.results
    ]
    rows = [[one.row(metric, part) for part, one in measured] for metric in metrics]
    notes = [NOT_SEEDS, *dict.fromkeys(row.no_speakers for row in rows[0] if row.no_speakers)]
    notes += [
        f"{one.system.name}: its seeds differ in their rows; pooled are those that all have"
        for _, one in measured
        if one.has_differing_rows
    ]
    if by == "system" and len(measured) > 1:
        first = measured[0][1]
        pairs = [_Pair(first, one) for _, one in measured[1:]]
        rows = [_held_against_first(pairs, of_metric) for of_metric in rows]
        notes += [note for pair in pairs if (note := pair.note())]
    corrected = corrected_rows([row for of_metric in rows for row in of_metric])
    return corrected, [*notes, *_notes_on_tests(corrected, n_resamples)]


def _parts(system: System, table: Table, by: str) -> Iterator[tuple[str, System, Sequence[str]]]:
    """The runs that share a row of the table, what the row is called, and the folds that it has."""
    if by == "fold":
        for fold in table.folds:
            yield f"fold {fold}".strip(), system.with_fold(fold), [fold]
    elif by == "seed":
        for seed in table.seeds:
            yield f"seed {seed}", system.with_seed(seed), table.folds
    else:
        yield "", system, table.folds


class _Pair:
    """Two systems on the rows that both have."""

    def __init__(self, first: Measured, system: Measured) -> None:
        self.first, self.system = first, system
        self.pooled: tuple[Pooled, Pooled] | None = None
        if first.pooled is None or system.pooled is None:
            return
        n_first = len(first.pooled.runs)
        shared = aligned([*first.pooled.runs, *system.pooled.runs])
        if len(shared[0]):
            ours, theirs = shared[:n_first], shared[n_first:]
            self.pooled = first.pooled.of_rows(ours), system.pooled.of_rows(theirs)

    def note(self) -> str:
        """What is to be known of the rows, if they are not all of both."""
        name, other = self.system.system.name, self.first.system.name
        if self.pooled is None:
            return f"{name}: not held against {other}: no complete seed, or no row of both"
        n_shared = len(self.pooled[0].runs[0])
        n_rows = [len(one.pooled.runs[0]) for one in (self.first, self.system) if one.pooled]
        if n_shared == max(n_rows):
            return ""
        return f"{name}: held against {other} on the {n_shared} rows that both have"

    def compare(self, row: Row) -> Row:
        """The second system's row, with its differences from the first."""
        row = replace(row, other=self._other_test(row.metric))
        if self.pooled is None:
            return row
        ours, theirs = self.pooled
        row = replace(row, difference=theirs.figure(row.metric) - ours.figure(row.metric))
        if row.metric not in ours.by_utterance:  # of sentiment scores: no sums, no resamples
            return row
        drawn = theirs.by_utterance[row.metric] - ours.by_utterance[row.metric]
        row = replace(row, difference_ends=percentile_interval(drawn), p=p_value(drawn))
        if not ours.speakers.refusal:
            left_out = theirs.without_speaker[row.metric] - ours.without_speaker[row.metric]
            p_speakers = t_test(row.difference, left_out, ours.speakers.effective)
            row = replace(row, p_speakers=p_speakers)
        return row

    def _other_test(self, metric: str) -> OtherTest | None:
        """McNemar's for the accuracies of two single models, Wilcoxon's for enough paired runs."""
        if (
            metric == "wa"
            and self.pooled
            and all(len(one.runs) == 1 and not math.isnan(one.figure("wa")) for one in self.pooled)
        ):
            return mcnemar(*(is_correct(one.runs[0]).tolist() for one in self.pooled))
        ours, theirs = self.first.figures, self.system.figures
        places = [place for place in ours if place in theirs]
        return wilcoxon(*([one[place][metric] for place in places] for one in (ours, theirs)))


def _held_against_first(pairs: Sequence[_Pair], rows: Sequence[Row]) -> list[Row]:
    """The rows of one metric, with differences and tests.

    The recalls of single classes are left as they are: they are many, and hang together.
    """
    if rows[0].metric.startswith(_RECALL):
        return list(rows)
    return [rows[0], *(pair.compare(row) for pair, row in zip(pairs, rows[1:], strict=True))]


def _p_values(row: Row) -> tuple[float, float, float]:
    """Of every test of a row that the table shows; NaN for one that was not made."""
    return row.p, row.p_speakers, row.other.p_value if row.other else math.nan


def corrected_rows(rows: Sequence[Row]) -> list[Row]:
    """Correct all p-values of a table together (Holm): of each pair, metric and kind of test."""
    found = holm([p for row in rows for p in _p_values(row)])
    return [
        replace(row, p_holm=p, p_speakers_holm=p_speakers, other_holm=other)
        for row, p, p_speakers, other in zip(
            rows, found[::3], found[1::3], found[2::3], strict=True
        )
    ]


def _notes_on_tests(rows: Sequence[Row], n_resamples: int) -> list[str]:
    n_tests = sum(not math.isnan(p) for row in rows for p in _p_values(row))
    if not n_tests:
        return []
    notes = [f"Holm: corrected for all {n_tests} tests of this table"]
    smallest = 2.0 / (n_resamples + 1)  # of a p-value by bootstrap
    if n_tests * smallest >= _ALPHA:
        notes.append(
            f"of {n_resamples} resamples p is {smallest:.2g} at least, and {n_tests} times that is "
            f"not below {_ALPHA}: give --resamples {math.ceil(2 * n_tests / _ALPHA)}"
        )
    return notes
