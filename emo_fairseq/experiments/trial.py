"""One trial of a search: its trainings, one a fold, and their metric after every validation."""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emo_fairseq.evaluation.training_log import read_validations
from emo_fairseq.experiments.grid import PlannedRun
from emo_fairseq.experiments.jobs import Outcome, Steps, run_all
from emo_fairseq.experiments.runs import RunFolder
from emo_fairseq.experiments.training import quoted, refuse_changed_options, train, training_words

RUNS = "runs"  # folder of the runs of all trials
_LOG = "train.log"
_INTERVAL = 1.0  # seconds between two looks at the log


class StoppedError(Exception):
    """The trial was stopped early."""


class RefusedError(Exception):
    """A training of the trial failed; the message is that of its command."""


@dataclass(frozen=True)
class Evaluation:
    """What a trial trains, and how it is measured.

    Attributes:
        args: of the command line.
        planned: its runs, one or one a fold.
        metric: of the valid set.
        is_maximized: whether a larger value is better.
    """

    args: argparse.Namespace
    planned: Sequence[PlannedRun]
    metric: str
    is_maximized: bool

    def best(self, values: Sequence[float]) -> float:
        """Return the best of the defined values; NaN if there is none."""
        defined = [value for value in values if not math.isnan(value)]
        choose = max if self.is_maximized else min
        return choose(defined) if defined else math.nan


@dataclass
class _Watch:
    """Reports the mean over folds of the best value so far, after every validation.

    Folds are trained one after the other, so that the n-th value of a trial has been trained for as
    long as the n-th one of another.
    """

    evaluation: Evaluation
    report: Callable[[float, int], None]
    should_stop: Callable[[], bool]
    finished: list[float] = field(default_factory=list)  # the best value of each earlier fold
    n_reported: int = 0
    n_before: int = 0  # validations of earlier folds
    last_look: float = 0.0

    def look(self, log: Path) -> None:
        """Report the validations that are new in the log of the current fold."""
        if time.monotonic() - self.last_look < _INTERVAL or not log.is_file():
            return
        self.last_look = time.monotonic()
        values = validations(log, self.evaluation.metric)
        for n in range(self.n_reported - self.n_before, len(values)):
            mean = self._mean(values[: n + 1])
            self.n_reported += 1
            if not math.isnan(mean):
                self.report(mean, self.n_reported)
                if self.should_stop():
                    raise StoppedError

    def end_fold(self, values: Sequence[float]) -> None:
        """Keep the best value of a fold that has ended."""
        self.finished.append(self.evaluation.best(values))
        self.n_before += len(values)
        self.n_reported = self.n_before

    def _mean(self, values: Sequence[float]) -> float:
        best = [*self.finished, self.evaluation.best(values)]
        return sum(best) / len(best)


def evaluate(
    evaluation: Evaluation,
    report: Callable[[float, int], None],
    should_stop: Callable[[], bool],
) -> float:
    """Train the runs of a trial and return the mean over them of the best metric.

    Args:
        evaluation: what is trained.
        report: called with each intermediate value and its number.
        should_stop: called after each report.

    Raises:
        StoppedError: `should_stop` returned True.
        RefusedError: a training failed, or no validation had a defined metric.
    """
    watch = _Watch(evaluation, report, should_stop)
    for run in evaluation.planned:
        folder = RunFolder(evaluation.args.folder / RUNS / run.name)
        refuse_changed_options(run, folder)
        log = folder.path / _LOG
        words = [
            *training_words(evaluation.args.config_dir, evaluation.args.config_name, run, folder),
            "common.log_format=json",
            f"common.log_file={quoted(log)}",
        ]
        outcomes = run_all(
            {run.name: _train(run, folder, words)},
            n_at_once=1,
            report=lambda name, outcome: None,
            watch=lambda log=log: watch.look(log),  # type: ignore[misc]
        )
        outcome = outcomes[run.name]
        if not outcome.ok:
            raise RefusedError(outcome.refusal or outcome.message)
        watch.end_fold(validations(log, evaluation.metric))
    value = sum(watch.finished) / len(watch.finished)
    if math.isnan(value):
        raise RefusedError(f"no validation had a defined {evaluation.metric}")
    return value


def _train(run: PlannedRun, folder: RunFolder, words: Sequence[str]) -> Steps:
    with folder.locked() as lock:
        outcome: Outcome = yield from train(folder, run.options, words, lock)
        return outcome


def validations(log: Path, metric: str) -> list[float]:
    """Return a metric of every validation; NaN where it is undefined."""
    of_each = read_validations(log) if log.is_file() else []
    return [metrics[metric] for metrics in of_each if metric in metrics]
