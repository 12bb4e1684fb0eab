"""Train, score and collect every run of a sweep."""

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.messages import INTERRUPTED, INTERRUPTED_CODE
from emo_fairseq.data import legacy
from emo_fairseq.data.manifest import check_data_dir, read_fold
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.grid import PlannedRun, plan_runs
from emo_fairseq.experiments.jobs import Command, Outcome, Steps, failure, run_all
from emo_fairseq.experiments.names import ALL_OF, FOLD, TEST
from emo_fairseq.experiments.options import (
    Options,
    changed_options,
    read_checkpoint,
    selection_set,
)
from emo_fairseq.experiments.result_tables import show
from emo_fairseq.experiments.runs import TRAINED, TRAINING, RunFolder
from emo_fairseq.experiments.scoring import ScoringSet, score

_SHOWN_CHANGES = 5


def run_sweep(args: argparse.Namespace) -> int:
    """Run the sweep of a command line; return 1 if a run failed.

    Raises:
        UsageError: a set that is no test set, or a folder with a run of another configuration.
    """
    overrides = list(args.overrides)
    if args.folds:
        overrides.append(f"{FOLD}={ALL_OF}{args.folds}")
    planned = plan_runs(args.config_dir, args.config_name, overrides)
    _refuse_split(planned, args.split)
    folders = {run.name: RunFolder(args.runs_folder / run.name) for run in planned}
    for run in planned:
        _refuse_changed_options(run, folders[run.name])
    work: dict[str, Steps] = {}
    for run in planned:
        words = _train_words(args.config_dir, args.config_name, run, folders[run.name])
        if args.dry_run:
            sys.stdout.write(shlex.join(words) + "\n")
        work[run.name] = _train_and_score(
            folders[run.name], run.options, words, ScoringSet(args.split)
        )
    if args.dry_run:
        return 0
    if not args.keep_going:
        _refuse_data(planned)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops the processes, too
    progress = _Progress(len(work))
    try:
        outcomes = run_all(work, args.jobs, progress.report, args.keep_going)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return INTERRUPTED_CODE
    if n_left := len(work) - len(outcomes):
        refusal = next(outcome.refusal for outcome in outcomes.values() if outcome.refusal)
        sys.stdout.write(
            f"stopped: {n_left} of {len(work)} runs were not started, since the first was refused: "
            f"{refusal}\nchange the options, or add --keep-going if the others differ\n"
        )
    scored = [folder for folder in folders.values() if folder.path.is_dir()]
    show(scored, args.metric)
    return 0 if not n_left and all(outcome.ok for outcome in outcomes.values()) else 1


def _refuse_data(planned: Sequence[PlannedRun]) -> None:
    """Raise the error of a data dir or a fold that its runs would raise, before any is started."""
    used = [(run.options.data, str(run.options.get(FOLD) or "")) for run in planned]
    for data, fold in dict.fromkeys(used):
        check_data_dir(data)
        if fold:
            read_fold(data, fold)


def _refuse_split(planned: Sequence[PlannedRun], split: str) -> None:
    """Raise a `UsageError` if the test set does not exist, is not a fold's own, or is learned."""
    for options in (run.options for run in planned if split != TEST):
        if options.fold:
            raise UsageError(
                f"--split {split}: a fold has a test set of its own; leave it out", "split-of-fold"
            )
        trained = str(options.get("dataset.train_subset", "train")).split(",")
        if split in (*trained, selection_set(options)):
            raise UsageError(
                f"--split {split}: the runs are trained on this set, or it selects their "
                "checkpoints; name a test set",
                "split-learned",
            )
        file = options.data / f"{split}.tsv"
        if not file.is_file() and split not in legacy.split_names(options.data):
            raise UsageError(
                f"--split {split}: there is no {file}; name a split of the data dir",
                "split-missing",
            )


def _refuse_changed_options(run: PlannedRun, folder: RunFolder) -> None:
    """Raise a `UsageError` if the folder holds a run of another configuration."""
    before = folder.hydra_config() if folder.has_results() else None
    if not before:
        return
    changed = changed_options(Options.of(before).of_training, run.composed.of_training)
    if changed:
        n_more = len(changed) - _SHOWN_CHANGES
        shown = ", ".join(changed[:_SHOWN_CHANGES]) + (f" and {n_more} more" if n_more > 0 else "")
        raise UsageError(
            f"{folder.path} was trained with another configuration ({shown}); take another "
            "RUNS_FOLDER, or remove this run",
            "run-options-changed",
        )


def _train_words(
    config_dir: Path, config_name: str, run: PlannedRun, folder: RunFolder
) -> list[str]:
    """The training command; its paths are quoted for Hydra."""
    paths = [
        f"hydra.run.dir={_quoted(folder.path)}",
        "hydra.job.chdir=false",
        "hydra/job_logging=stdout",
        f"checkpoint.save_dir={_quoted(folder.path / 'checkpoints')}",
    ]
    words = ["fairseq-hydra-train", "--config-dir", str(config_dir), "--config-name", config_name]
    return [*words, *run.overrides, *paths]


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _train_and_score(
    run: RunFolder, options: Options, words: Sequence[str], test_set: ScoringSet
) -> Steps:
    began = time.monotonic()
    with run.locked() as lock:
        trained = ""
        if not _has_ended(run, options):
            run.set_state(TRAINING)
            command = Command(words, run.log, lock)
            code = yield command
            if code:
                return failure(command, code)
            trained = f"trained in {time.monotonic() - began:.0f} s, "
        if run.state() != TRAINED:
            run.set_state(TRAINED)
        outcome = yield from score(run, test_set, lock)
        return Outcome(outcome.ok, trained + outcome.message if outcome.ok else outcome.message)


def _has_ended(run: RunFolder, options: Options) -> bool:
    """Whether the training has ended: fairseq would add an update to one that has."""
    if run.state() == TRAINED and run.has_results():
        return True
    max_update = int(options.get("optimization.max_update", 0))
    if not (max_update and run.last.is_file()):
        return False
    try:
        return read_checkpoint(run.last).updates >= max_update
    except CodedError:
        return False  # fairseq-hydra-train reports what is wrong with it


class _Progress:
    """A line for each run that has ended."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def report(self, name: str, outcome: Outcome) -> None:
        self._done += 1
        message = outcome.message if outcome.ok else f"FAILED\n{outcome.message}"
        sys.stdout.write(f"[{self._done}/{self._total}] {name}: {message}\n")
        sys.stdout.flush()
