"""Train, score and collect every run of a sweep."""

import argparse
import shlex
import sys
from collections.abc import Sequence

from data_prep.messages import INTERRUPTED, INTERRUPTED_CODE
from data_prep.schema import TEST, TRAIN
from emo_fairseq.data import legacy
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.grid import PlannedRun, plan_runs
from emo_fairseq.experiments.jobs import Errors, Outcome, Steps, interrupted_by_sigterm, run_all
from emo_fairseq.experiments.names import ALL_OF, FOLD
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.result_tables import show
from emo_fairseq.experiments.runs import RunFolder
from emo_fairseq.experiments.scoring import score
from emo_fairseq.experiments.scoring_sets import ScoringSet, sets_of_corpora
from emo_fairseq.experiments.selection import selection_set
from emo_fairseq.experiments.training import (
    refuse_changed_options,
    refuse_data,
    train,
    training_words,
)


def run_sweep(args: argparse.Namespace) -> int:
    """Run the sweep of a command line; return 1 if a run failed.

    Raises:
        UsageError: a set that is no test set, or a folder with a run of another configuration.
    """
    overrides = list(args.overrides)
    if args.folds:
        overrides.append(f"{FOLD}={ALL_OF}{args.folds}")
    test_sets = [ScoringSet(args.split), *sets_of_corpora("--also-score", args.also_score)]
    planned = plan_runs(args.config_dir, args.config_name, overrides)
    _refuse_split(planned, args.split)
    folders = {run.name: RunFolder(args.runs_folder / run.name) for run in planned}
    for run in planned:
        refuse_changed_options(run, folders[run.name])
    work: dict[str, Steps] = {}
    for position, run in enumerate(planned):
        words = training_words(args.config_dir, args.config_name, run, folders[run.name])
        if args.dry_run:
            sys.stdout.write(shlex.join(words) + "\n")
        work[run.name] = _train_and_score(
            folders[run.name], run.options, words, position, test_sets
        )
    if args.dry_run:
        return 0
    if not args.keep_going:
        refuse_data(planned)
    progress = _Progress(len(work))
    try:
        with interrupted_by_sigterm():
            outcomes = run_all(work, args.jobs, progress.report, args.keep_going)
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return INTERRUPTED_CODE
    sys.stdout.write("".join(f"{line}\n" for line in progress.errors.counts()))
    if n_left := len(work) - len(outcomes):
        refusal = next(outcome.refusal for outcome in outcomes.values() if outcome.refusal)
        sys.stdout.write(
            f"stopped: {n_left} of {len(work)} runs were not started, since the first was refused: "
            f"{refusal}\nchange the options, or add --keep-going if the others differ\n"
        )
    scored = [folder for folder in folders.values() if folder.path.is_dir()]
    show(scored, args.metric)
    return 0 if not n_left and all(outcome.ok for outcome in outcomes.values()) else 1


def _refuse_split(planned: Sequence[PlannedRun], split: str) -> None:
    """Raise a `UsageError` if the test set does not exist, is not a fold's own, or is learned."""
    for options in (run.options for run in planned if split != TEST):
        if options.fold:
            raise UsageError(
                f"--split {split}: a fold has a test set of its own; leave it out", "split-of-fold"
            )
        trained = str(options.get("dataset.train_subset", TRAIN)).split(",")
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


def _train_and_score(
    run: RunFolder,
    options: Options,
    words: Sequence[str],
    position: int,
    test_sets: Sequence[ScoringSet],
) -> Steps:
    with run.locked() as lock:
        trained = yield from train(run, options, words, lock, position)
        if not trained.ok:
            return trained
        messages = [trained.message]
        for test_set in test_sets:
            outcome = yield from score(run, test_set, lock)
            if not outcome.ok:
                return outcome
            messages.append(outcome.message)
        return Outcome(True, ", ".join(filter(None, messages)))


class _Progress:
    """A line for each run that has ended."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self.errors = Errors(total)

    def report(self, name: str, outcome: Outcome) -> None:
        self._done += 1
        message = self.errors.show(name, outcome)
        failed = "" if outcome.ok else "FAILED\n"
        sys.stdout.write(f"[{self._done}/{self._total}] {name}: {failed}{message}\n")
        sys.stdout.flush()
