"""Metrics of systems over their runs and folds, and tests of the others against the first."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from data_prep.messages import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import (
    NO_INTERVAL,
    NOT_SEEDS,
    Derive,
    Interval,
    Speakers,
    bootstrap,
    leave_one_out,
    mean_over_runs,
    p_value,
    percentile_interval,
    speaker_interval,
    t_test,
)
from emo_fairseq.evaluation.names import N_RESAMPLES, OF_VOTES, RECALL
from emo_fairseq.evaluation.significance import OtherTest, holm, mcnemar, wilcoxon
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    align,
    ids_of_other_truth,
    keys_of,
    pool,
)
from emo_fairseq.evaluation.tables import format_count, mean_and_deviation
from emo_fairseq.experiments.results import speakers_of
from emo_fairseq.experiments.systems import SeedAndFold, Setting, System

_ALPHA = 0.05
_OF_LABELS = ("uar", "wa", "weighted_f1")
_OF_NUMBERS = ("ccc", "pearson", "mae")


@dataclass(frozen=True)
class Row:
    """One metric of one system; NaN and None where there is no value.

    Attributes:
        system: its name.
        part: such as ``fold 1`` or ``seed 2``; empty for all runs.
        metric: its key.
        n_runs: how many runs the mean is over.
        n_missing: runs that the setting has and the system lacks.
        mean: over the runs.
        deviation: over the runs (n - 1 in the divisor).
        pooled: of the predictions of all folds together, the mean over seeds.
        utterances: 95 % interval of `pooled` over utterances.
        speakers: 95 % interval of `pooled` over speakers.
        difference: `pooled` less that of the first system, on the rows that both have.
        difference_ends: its 95 % interval over utterances.
        p: of the difference, over utterances.
        p_speakers: of the difference, over speakers.
        other: Wilcoxon's or McNemar's test.
        p_holm: `p`, corrected for all tests of the table; likewise the next two.
        p_speakers_holm: see `p_holm`.
        other_holm: see `p_holm`.
        no_speakers: why there is no interval over speakers; empty if there is one.
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

    @property
    def p_values(self) -> tuple[float, float, float]:
        """The p-value of every test of this row; NaN for a test that was not made."""
        return self.p, self.p_speakers, self.other.p_value if self.other else math.nan


def table_rows(
    setting: Setting,
    metrics: Sequence[str] = (),
    by: str = "system",
    n_resamples: int = N_RESAMPLES,
) -> tuple[list[Row], list[str]]:
    """Return the rows by metric, then by system, and notes that belong below the table.

    Args:
        setting: the systems.
        metrics: their keys; none means the default ones.
        by: what a row is of: a system, one fold of a system over seeds, one seed over folds.
        n_resamples: of the bootstrap.

    Raises:
        UsageError: a run does not have one of the metrics.
    """
    metrics = metrics or default_metrics(setting)
    measured = [
        (part, SystemMetrics(system, folds, n_resamples))
        for whole in setting.systems
        for part, system, folds in _parts(whole, setting, by)
        if system.results
    ]
    rows = [[of_system.row(metric, part) for part, of_system in measured] for metric in metrics]
    notes = [NOT_SEEDS, *dict.fromkeys(row.no_speakers for row in rows[0] if row.no_speakers)]
    notes += [
        f"{of_system.name}: its seeds differ in their rows; pooled are those that all have"
        for _, of_system in measured
        if of_system.has_differing_rows
    ]
    notes += [
        f"{of_system.name}: {_describe_other_truth(of_system.other_truth, 'its seeds')}"
        for _, of_system in measured
        if of_system.other_truth
    ]
    notes += [
        f"{of_system.name}: {format_count(len(of_system.repeated), 'row')} tested in several folds "
        f"({first_few(of_system.repeated)}) count in each of them; if the folds were made anew "
        "between its trainings, train all of them again"
        for _, of_system in measured
        if of_system.repeated
    ]
    if by == "system" and len(measured) > 1:
        first, *others = (of_system for _, of_system in measured)
        comparisons = [_Comparison(first, other) for other in others]
        rows = [_compare_with_first(comparisons, of_metric) for of_metric in rows]
        notes += [note for comparison in comparisons if (note := comparison.note())]
    corrected = corrected_rows([row for of_metric in rows for row in of_metric])
    return corrected, [*notes, *_notes_on_tests(corrected, n_resamples)]


def _describe_other_truth(ids: Sequence[str], where: str) -> str:
    return (
        f"the truth of {format_count(len(ids), 'row')} differs between {where} ({first_few(ids)}), "
        "of which some were scored before labels changed; score them again"
    )


def default_metrics(setting: Setting) -> list[str]:
    """UAR, WA, weighted F1 and the recall of each class; or CCC, Pearson and MAE of each axis.

    Those of votes, too, where all runs have votes: a model of labels has none.
    """
    predictions = [result.predictions for result in setting.results]
    if isinstance(predictions[0], LabelPredictions):
        have_votes = all(getattr(of, "votes", None) is not None for of in predictions)
        of_votes = OF_VOTES if have_votes else ()
        return [*_OF_LABELS, *of_votes] + [f"{RECALL}{label}" for label in setting.names]
    axes = [f"_{name}" for name in setting.names] if len(setting.names) > 1 else []
    return [f"{metric}{axis}" for metric in _OF_NUMBERS for axis in ("", *axes)]


def _parts(
    system: System, setting: Setting, by: str
) -> Iterator[tuple[str, System, Sequence[str]]]:
    """The parts of a system that are rows of the table: name, runs, folds of a complete seed."""
    if by == "fold":
        for fold in setting.folds:
            yield f"fold {fold}".strip(), system.with_fold(fold), [fold]
    elif by == "seed":
        for seed in setting.seeds:
            yield f"seed {seed}", system.with_seed(seed), setting.folds
    else:
        yield "", system, setting.folds


# --- One system -----------------------------------------------------------------------------------


class SystemMetrics:
    """The metrics of a system.

    Args:
        system: the runs.
        folds: the folds that a complete seed has.
        n_resamples: of the bootstrap over utterances.

    Attributes:
        name: of the system.
        runs: the predictions of each run, by seed and fold.
        by_run: their metrics.
        pooled: the predictions of all folds together, one for each complete seed; of another corpus
            than the training corpus, one for each run. None if no seed is complete.
        has_differing_rows: whether seeds differ in their rows; `pooled` has those of all.
        other_truth: ids of rows whose truth is not the same in all seeds.
        repeated: ids of rows that are in the test sets of several folds of a seed.
    """

    def __init__(self, system: System, folds: Sequence[str], n_resamples: int) -> None:
        self.name = system.name
        self.runs = {key: result.predictions for key, result in system.results.items()}
        self.by_run: dict[SeedAndFold, Metrics] = {
            key: run.statistics().metrics() for key, run in self.runs.items()
        }
        self._n_missing = len(system.missing)
        seeds = _pool_folds(system, folds)
        times = [Counter(seed.ids) for seed in seeds]
        self.repeated = list(dict.fromkeys(id_ for seed in times for id_ in seed if seed[id_] > 1))
        shared = align(seeds) if seeds else []
        self.has_differing_rows = any(len(run.ids) != len(shared[0].ids) for run in seeds)
        self.other_truth = ids_of_other_truth(shared) if shared else []
        self.pooled = None
        if shared and shared[0].ids:
            speakers = speakers_of(system.first.data, system.first.split)
            names = [speakers.get(utterance) for utterance in shared[0].ids]
            self.pooled = PooledRuns(shared, Speakers.from_names(names), n_resamples)

    def row(self, metric: str, part: str = "") -> Row:
        """Return the row of one metric, without a comparison.

        Raises:
            UsageError: there is no such metric.
        """
        for metrics in self.by_run.values():
            if metric not in metrics:
                raise UsageError(
                    f"--metric {metric}: choose from {', '.join(metrics)}", "metric-unknown"
                )
        values = [metrics[metric] for metrics in self.by_run.values()]
        mean, deviation = mean_and_deviation(values)
        row = Row(self.name, part, metric, len(values), self._n_missing, mean, deviation)
        if self.pooled is None:
            return row
        pooled = self.pooled
        row = replace(
            row,
            pooled=pooled.metrics[metric],
            no_speakers=pooled.speakers.refusal,
            utterances=percentile_interval(pooled.by_utterance[metric]),
        )
        if metric in pooled.without_speaker:
            left_out, effective = pooled.without_speaker[metric], pooled.speakers.effective
            row = replace(row, speakers=speaker_interval(metric, row.pooled, left_out, effective))
        return row


class PooledRuns:
    """Several predictions of the same rows, and their metrics in resamples of these.

    Args:
        runs: one or more, of the same rows.
        speakers: of these rows.
        n_resamples: of the bootstrap over utterances.

    Attributes:
        metrics: their means over the runs.
    """

    def __init__(self, runs: Sequence[Predictions], speakers: Speakers, n_resamples: int) -> None:
        self.runs, self.speakers, self._n_resamples = runs, speakers, n_resamples
        self.metrics = mean_over_runs(*self._statistics())

    def __len__(self) -> int:
        return len(self.runs[0].ids)

    @cached_property
    def by_utterance(self) -> dict[str, np.ndarray]:
        """Each metric's mean over the runs in resamples of the utterances, (R,)."""
        return bootstrap(*self._statistics(), self._n_resamples)

    @cached_property
    def without_speaker(self) -> dict[str, np.ndarray]:
        """The same without each of the speakers, (S,); empty if they are unknown or too few."""
        if self.speakers.refusal:
            return {}
        return leave_one_out(*self._statistics(), self.speakers)

    def _statistics(self) -> tuple[list[np.ndarray], Derive]:
        of_runs = [run.statistics() for run in self.runs]
        return [of_run.rows for of_run in of_runs], of_runs[0].derive

    def with_rows_of(self, runs: Sequence[Predictions]) -> "PooledRuns":
        """Return the same with some of the rows, those of `runs`; itself if these are all."""
        if keys_of(runs[0]) == keys_of(self.runs[0]):
            return self
        row_of = {key: row for row, key in enumerate(keys_of(self.runs[0]))}
        rows = [row_of[key] for key in keys_of(runs[0])]
        return PooledRuns(runs, self.speakers.select(rows), self._n_resamples)


def _pool_folds(system: System, folds: Sequence[str]) -> list[Predictions]:
    """All folds of each complete seed together; of another corpus each run as it is."""
    results = system.results
    if all(result.is_cross_corpus for result in results.values()):
        return [result.predictions for result in results.values()]
    return [
        pool({fold: results[seed, fold].predictions for fold in folds})
        for seed in system.seeds
        if all((seed, fold) in results for fold in folds)
    ]


# --- A system and the first -----------------------------------------------------------------------


class _Comparison:
    """Two systems on the rows that both have."""

    def __init__(self, first: SystemMetrics, second: SystemMetrics) -> None:
        self.first, self.second = first, second
        self.pooled: tuple[PooledRuns, PooledRuns] | None = None
        self.other_truth: Sequence[str] = ()
        if first.pooled is None or second.pooled is None:
            return
        n_first = len(first.pooled.runs)
        shared = align([*first.pooled.runs, *second.pooled.runs])
        self.other_truth = ids_of_other_truth(shared)
        if shared[0].ids and not self.other_truth:
            ours, theirs = shared[:n_first], shared[n_first:]
            self.pooled = first.pooled.with_rows_of(ours), second.pooled.with_rows_of(theirs)

    def note(self) -> str:
        """Return a note on the rows, unless they are all rows of both."""
        name, other = self.second.name, self.first.name
        if self.other_truth:
            return f"{name}: {_describe_other_truth(self.other_truth, f'it and {other}')}"
        if self.pooled is None:
            return f"{name}: not held against {other}: no complete seed, or no row of both"
        n_shared = len(self.pooled[0])
        n_rows = [len(each.pooled) for each in (self.first, self.second) if each.pooled]
        if n_shared == max(n_rows):
            return ""
        return f"{name}: held against {other} on the {n_shared} rows that both have"

    def compare(self, row: Row) -> Row:
        """Return the second system's row, with its difference from the first."""
        metric = row.metric
        if self.other_truth:
            return row
        row = replace(row, other=self._other_test(metric))
        if self.pooled is None:
            return row
        first, second = self.pooled
        differences = second.by_utterance[metric] - first.by_utterance[metric]
        row = replace(
            row,
            difference=second.metrics[metric] - first.metrics[metric],
            difference_ends=percentile_interval(differences),
            p=p_value(differences),
        )
        if not first.speakers.refusal:
            left_out = second.without_speaker[metric] - first.without_speaker[metric]
            row = replace(
                row, p_speakers=t_test(row.difference, left_out, first.speakers.effective)
            )
        return row

    def _other_test(self, metric: str) -> OtherTest | None:
        """McNemar's for the accuracies of two single models, Wilcoxon's for enough paired runs."""
        if (
            metric == "wa"
            and self.pooled
            and all(
                len(each.runs) == 1 and not math.isnan(each.metrics["wa"]) for each in self.pooled
            )
        ):
            first, second = (each.runs[0] for each in self.pooled)
            known = first.truth >= 0  # of votes some rows have no majority label
            return mcnemar(
                (first.truth == first.prediction)[known].tolist(),
                (second.truth == second.prediction)[known].tolist(),
            )
        pairs = self._metrics_of_runs.values()
        return wilcoxon(
            [ours[metric] for ours, _ in pairs], [theirs[metric] for _, theirs in pairs]
        )

    @cached_property
    def _metrics_of_runs(self) -> dict[SeedAndFold, tuple[Metrics, Metrics]]:
        """The metrics of the runs that both have, each on the rows of both."""
        by_run: dict[SeedAndFold, tuple[Metrics, Metrics]] = {}
        for key in self.first.runs.keys() & self.second.runs.keys():
            ours, theirs = self.first.runs[key], self.second.runs[key]
            if ours.ids == theirs.ids:
                by_run[key] = self.first.by_run[key], self.second.by_run[key]
            elif not {*ours.ids}.isdisjoint(theirs.ids):
                first, second = (run.statistics().metrics() for run in align([ours, theirs]))
                by_run[key] = first, second
        return by_run


def _compare_with_first(comparisons: Sequence[_Comparison], rows: Sequence[Row]) -> list[Row]:
    """The rows of one metric, with differences and tests.

    The recalls of single classes are left as they are: they are many, and depend on each other.
    """
    if rows[0].metric.startswith(RECALL):
        return list(rows)
    others = zip(comparisons, rows[1:], strict=True)
    return [rows[0]] + [comparison.compare(row) for comparison, row in others]


def corrected_rows(rows: Sequence[Row]) -> list[Row]:
    """Correct all p-values of a table together (Holm): of each pair, metric and kind of test."""
    corrected = holm([p for row in rows for p in row.p_values])
    triples = zip(rows, corrected[::3], corrected[1::3], corrected[2::3], strict=True)
    return [
        replace(row, p_holm=p, p_speakers_holm=p_speakers, other_holm=other)
        for row, p, p_speakers, other in triples
    ]


def _notes_on_tests(rows: Sequence[Row], n_resamples: int) -> list[str]:
    n_tests = sum(not math.isnan(p) for row in rows for p in row.p_values)
    if not n_tests:
        return []
    notes = [f"Holm: corrected for all {n_tests} tests of this table"]
    smallest = 2.0 / (n_resamples + 1)  # p-value of a bootstrap
    if n_tests * smallest >= _ALPHA:
        notes.append(
            f"of {n_resamples} resamples p is {smallest:.2g} at least, and {n_tests} times that is "
            f"not below {_ALPHA}: give --resamples {math.ceil(2 * n_tests / _ALPHA)}"
        )
    return notes
