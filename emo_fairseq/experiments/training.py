"""The training of a run: its command, whether it has ended, and what forbids it."""

import time
from collections.abc import Generator, Sequence
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.schema import TRAIN
from emo_fairseq.data.fold import manifests_digest, read_fold
from emo_fairseq.data.input_digests import changed_inputs
from emo_fairseq.data.manifest import check_data_dir
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments.checkpoints import read_checkpoint
from emo_fairseq.experiments.grid import PlannedRun
from emo_fairseq.experiments.jobs import Command, Outcome, failure
from emo_fairseq.experiments.names import FOLD
from emo_fairseq.experiments.options import Options
from emo_fairseq.experiments.read_inputs import read_inputs
from emo_fairseq.experiments.runs import TRAINED, TRAINING, RunFolder
from emo_fairseq.experiments.selection import selection_set
from emo_fairseq.options.differences import changed_options

_SHOWN_CHANGES = 5


def training_words(
    config_dir: Path, config_name: str, run: PlannedRun, folder: RunFolder
) -> list[str]:
    """Return the training command; its paths are quoted for Hydra."""
    paths = [
        f"hydra.run.dir={quoted(folder.path)}",
        "hydra.job.chdir=false",
        "hydra/job_logging=stdout",
        f"checkpoint.save_dir={quoted(folder.path / 'checkpoints')}",
    ]
    words = ["fairseq-hydra-train", "--config-dir", str(config_dir), "--config-name", config_name]
    return [*words, *run.overrides, *paths]


def quoted(path: Path) -> str:
    """Quote a path for Hydra's grammar of overrides."""
    escaped = str(path).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def train(
    run: RunFolder,
    options: Options,
    words: Sequence[str],
    lock: int,
    position: int | None = None,
) -> Generator[Command, int, Outcome]:
    """Yield the training command of a run, unless it has ended, and record that it has.

    Args:
        run: its folder.
        options: of the training.
        words: of the command.
        lock: file descriptor of the folder's lock.
        position: of the run among the combinations of a sweep.
    """
    began = time.monotonic()
    message = ""
    if not has_ended(run, options):
        run.set_state(TRAINING, learned_rows(options), position, learned_inputs(options))
        command = Command(words, run.log, lock)
        code = yield command
        if code:
            return failure(command, code)
        message = f"trained in {time.monotonic() - began:.0f} s"
    if run.state() != TRAINED:
        run.set_state(TRAINED, run.rows(), run.position(), run.inputs())
    return Outcome(True, message)


def has_ended(run: RunFolder, options: Options) -> bool:
    """Return whether the training has ended: fairseq would add an update to one that has."""
    if run.state() == TRAINED and run.has_results():
        return True
    max_update = int(options.get("optimization.max_update", 0))
    if not (max_update and run.last.is_file()):
        return False
    try:
        return read_checkpoint(run.last).updates >= max_update
    except CodedError:
        return False  # fairseq-hydra-train reports what is wrong with it


def refuse_data(planned: Sequence[PlannedRun]) -> None:
    """Raise the error of a data dir or a fold that its runs would raise, before any is started."""
    used = [(run.options.data, str(run.options.get(FOLD) or "")) for run in planned]
    for data, fold in dict.fromkeys(used):
        check_data_dir(data)
        if fold:
            read_fold(data, fold)


def learned_rows(options: Options) -> str | None:
    """Return a digest of the manifests of the sets that train a run and select its checkpoint.

    None where they cannot be read; the training then refuses them.
    """
    try:
        return manifests_digest(options.data, _learned_sets(options), options.get(FOLD))
    except CodedError:
        return None


def learned_inputs(options: Options) -> dict[str, str]:
    """Return digests of the recordings, features and tokens of these sets, by name.

    Empty where they cannot be read; the training then refuses them.
    """
    try:
        return read_inputs(options, options.data, _learned_sets(options)).digests()
    except CodedError:
        return {}


def _learned_sets(options: Options) -> list[str]:
    names = str(options.get("dataset.train_subset", TRAIN)).split(",")
    return [*names, selecting] if (selecting := selection_set(options)) else names


def refuse_changed_options(run: PlannedRun, folder: RunFolder) -> None:
    """Raise a `UsageError` if the folder holds a run of other options, rows or inputs."""
    before = folder.hydra_config() if folder.has_results() else None
    if not before:
        return
    rows_before, rows = folder.rows(), learned_rows(run.options)
    if rows_before and rows and rows_before != rows:
        raise UsageError(
            f"{folder.path} was trained on rows that have changed since, of the train or the valid "
            "set; take another RUNS_FOLDER, or remove this run",
            "run-rows-changed",
        )
    if other := changed_inputs(folder.inputs(), learned_inputs(run.options)):
        raise UsageError(
            f"{folder.path} was trained on {' and '.join(other)} that have changed since; take "
            "another RUNS_FOLDER, or remove this run",
            "run-rows-changed",
        )
    changed = changed_options(Options.of(before).of_training, run.composed.of_training)
    if changed:
        n_more = len(changed) - _SHOWN_CHANGES
        shown = ", ".join(changed[:_SHOWN_CHANGES]) + (f" and {n_more} more" if n_more > 0 else "")
        raise UsageError(
            f"{folder.path} was trained with another configuration ({shown}); take another "
            "RUNS_FOLDER, or remove this run",
            "run-options-changed",
        )
