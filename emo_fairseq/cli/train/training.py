"""One training of ``train``: its data, the baseline, the model, its score and the report."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emo_fairseq.checkpoint_files import BEST, LAST
from emo_fairseq.cli import processes
from emo_fairseq.cli.checkpoints import find_checkpoint
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from emo_fairseq.cli.train.data import DataFolder
    from emo_fairseq.cli.train.ending import Scored
    from emo_fairseq.cli.train.inputs import Inputs
    from emo_fairseq.cli.train.plan import Model, Plan

COMMAND_FILE = "command.txt"
# Digests of the manifests that a training learns from, and of the recordings; older versions have
# the first alone.
ROWS_FILE = "rows.sha256"


@dataclass
class Outcome:
    """How ``train`` ended.

    Attributes:
        code: exit code of the command that failed; 0 where none did.
        checkpoint: of the trained model; None where there is none.
        predictions: of it on the split that was scored; None where it was not.
        data: the data dir.
        split: that was scored.
        summary: lines of metrics, files and next commands.
        scored: the trained model and its baselines.
    """

    code: int = 0
    checkpoint: Path | None = None
    predictions: Path | None = None
    data: "DataFolder | None" = None
    split: str = ""
    summary: Sequence[str] = ()
    scored: "Sequence[Scored]" = ()


def train(options: argparse.Namespace) -> Outcome:
    """Prepare the data, train on one split or fold, score and report; return what was made."""
    data, outcome = prepare(options)
    return train_on(options, data) if outcome is None else outcome


def prepare(options: argparse.Namespace) -> "tuple[DataFolder, Outcome | None]":
    """Prepare the data, unless they are; the outcome is None where a training can follow."""
    from emo_fairseq.cli.train.data import find_data

    data, notes = find_data(options)  # before the imports that take seconds
    from emo_fairseq.cli.train.fairseq_command import check_options

    check_options(options)
    _write_notes(notes)
    if data.prepare:
        if options.dry_run:
            processes.show(data.prepare)
            _write_notes(["the further commands depend on the data dir that this one writes"])
            return data, Outcome()
        data.begin()
        if code := run_step(data.prepare):
            return data, Outcome(code)
    return data, None


def train_on(options: argparse.Namespace, data: "DataFolder", has_next: bool = True) -> Outcome:
    """Train, score and report on a data dir that is there."""
    from emo_fairseq.cli.train.inputs import choose_inputs
    from emo_fairseq.cli.train.plan import make_plan

    inputs = choose_inputs(options, data)
    plan = make_plan(options, data, inputs)
    _write_notes([*inputs.notes, *plan.notes])
    if options.dry_run:
        _show_all(options, data, inputs, plan)
        return Outcome()
    _refuse_others(options, data, inputs, plan)
    if plan.steps and options.further and (code := _check_command(plan.models[-1])):
        return Outcome(code)
    for words in plan.steps:
        if code := run_step(words):
            return Outcome(code)
    return _train_and_score(options, data, inputs, plan, has_next)


def _write_notes(notes: Sequence[str]) -> None:
    for line in notes:
        processes.write(f"# {line}")


def run_step(words: Sequence[str], discard_output: bool = False) -> int:
    """Print a command, run it, and return its exit code; a signal that ended it is explained."""
    return processes.explained(words, processes.run(words, discard_output))


def _run_quietly(words: Sequence[str]) -> int:
    """Print a command, and of its output warnings and errors alone; with ``-v`` all of it."""
    processes.show(words)
    return processes.explained(words, processes.run_quietly(words))


# -- the models ------------------------------------------------------------------------------------


def _show_all(
    options: argparse.Namespace, data: "DataFolder", inputs: "Inputs", plan: "Plan"
) -> None:
    """Print the commands that would be run, with the checkpoints that they would write."""
    from emo_fairseq.cli.train.batch_size import trial_words
    from emo_fairseq.cli.train.ending import PREDICTIONS, report_words, score_words

    for words in plan.steps:
        processes.show(words)
    for model in plan.models:
        if options.find_batch_size and not model.is_solved:
            processes.show(trial_words(options, model.training.words, model.folder))
        processes.show(model.training.words)
        predictions = model.folder / PREDICTIONS
        processes.show(score_words(options, data, inputs.test, model.folder / BEST, predictions))
    if not options.no_report:
        baseline = plan.models[0].folder / PREDICTIONS if len(plan.models) > 1 else None
        processes.show(report_words(data, predictions, model.log, data.name, baseline))


def _train_and_score(
    options: argparse.Namespace,
    data: "DataFolder",
    inputs: "Inputs",
    plan: "Plan",
    has_next: bool,
) -> Outcome:
    from emo_fairseq.cli.train.ending import report_words, summary_lines

    scored: list[Scored] = []
    read = _learned_inputs(options, data, inputs)
    for model in plan.models:
        if code := _train_model(options, data, model, read):
            return Outcome(code, data=data)
        if not any((model.folder / name).is_file() for name in (BEST, LAST)):
            _write_notes([f"{model.folder}: no checkpoint was saved, so nothing is scored"])
            return Outcome(data=data)
        checkpoint = find_checkpoint(model.folder)
        code, result = _score(options, data, inputs, model, checkpoint)
        if code:
            return Outcome(code, checkpoint, data=data)
        scored.insert(0, result)
    has_report = not options.no_report
    if has_report:
        trained, *baselines = scored
        baseline = baselines[0].predictions if baselines else None
        log = plan.models[-1].log
        words = report_words(data, trained.predictions, log, data.name, baseline)
        has_report = run_step(words, discard_output=True) == 0
    summary = list(summary_lines(options, data, inputs, scored, has_report, has_next))
    for line in ["", *summary]:
        processes.write(line)
    first = scored[0]
    code = 0 if has_report or options.no_report else 1
    files = first.checkpoint, first.predictions
    return Outcome(code, *files, data, inputs.test, summary, scored)


def _refuse_others(
    options: argparse.Namespace, data: "DataFolder", inputs: "Inputs", plan: "Plan"
) -> None:
    """Refuse folders of other trainings before the steps, which may take minutes.

    Raises:
        UsageError: see :func:`_refuse_other`.
    """
    begun = [model for model in plan.models if _has_checkpoints(model.folder)]
    if not begun:
        return
    rows, read = _learned_rows(options, data), _learned_inputs(options, data, inputs)
    for model in begun:
        is_chosen = options.find_batch_size and not model.is_solved  # a part of the command, later
        _refuse_other(model.folder, None if is_chosen else model.training.words, rows, read)


def _check_command(model: "Model") -> int:
    """Return the exit code of fairseq-train where it refuses the command of a model, else 0."""
    words = model.training.words[1:]  # without the program
    return processes.run_quietly(processes.module("emo_fairseq.cli.train.command_check", *words))


def _train_model(
    options: argparse.Namespace, data: "DataFolder", model: "Model", read: Mapping[str, str]
) -> int:
    """Train a model, and return the exit code; a baseline that is solved stays as it is."""
    from emo_fairseq.cli.train.batch_size import find_batch_size

    words = model.training.words
    if options.find_batch_size and not model.is_solved:
        code, words = find_batch_size(options, words, model.folder)
        if code:
            return code
    _claim_folder(model.folder, words, _learned_rows(options, data), read)
    if model.is_solved and (model.folder / BEST).is_file():
        _write_notes([f"{model.folder}: the {model.name} is there already"])
        return 0
    return _run_quietly(words) if model.is_solved else run_step(words)


def _score(
    options: argparse.Namespace,
    data: "DataFolder",
    inputs: "Inputs",
    model: "Model",
    checkpoint: Path,
) -> "tuple[int, Scored]":
    from emo_fairseq.cli.train.ending import PREDICTIONS, Scored, score_words

    predictions = model.folder / PREDICTIONS
    words = score_words(options, data, inputs.test, checkpoint, predictions)
    return _run_quietly(words), Scored(model.name, checkpoint, predictions)


def _learned_rows(options: argparse.Namespace, data: "DataFolder") -> str:
    """Return a digest of the manifests of the train and the valid split; empty if unreadable."""
    from emo_fairseq.data.fold import manifests_digest

    return manifests_digest(data.folder, _learned_splits(options, data), options.fold) or ""


def _learned_splits(options: argparse.Namespace, data: "DataFolder") -> list[str]:
    from data_prep.schema import TRAIN, VALID

    has_valid = options.fold or data.is_legacy or (data.folder / f"{VALID}.tsv").is_file()
    return [TRAIN, *([VALID] if has_valid else [])]


def _learned_inputs(
    options: argparse.Namespace, data: "DataFolder", inputs: "Inputs"
) -> dict[str, str]:
    """Return digests of recordings, features and tokens that a training learns from, by name."""
    from emo_fairseq.data.input_digests import ReadInputs
    from emo_fairseq.modalities import TEXT

    if data.is_legacy:
        return {}
    return ReadInputs(
        data.folder,
        _learned_splits(options, data),
        options.fold,
        encoders={name: getattr(options, f"{name}_encoder") for name in inputs.modalities},
        tokens={TEXT: getattr(options, "text_tokens", None)},
        data_raw=data.data_raw,
    ).digests()


def _claim_folder(folder: Path, words: Sequence[str], rows: str, read: Mapping[str, str]) -> None:
    """Record the command in its folder; refuse a folder of another one, which fairseq would resume.

    Raises:
        UsageError: see :func:`_refuse_other`.
    """
    if _has_checkpoints(folder):
        _refuse_other(folder, words, rows, read)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COMMAND_FILE).write_text("\n".join(words), encoding="utf-8")
    inputs = {**_read_digests(folder)[1], **read}
    lines = "".join(f"{digest} {name}\n" for name, digest in inputs.items())
    (folder / ROWS_FILE).write_text(f"{rows}\n{lines}", encoding="utf-8")


def _has_checkpoints(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (BEST, LAST))


def _refuse_other(
    folder: Path, words: Sequence[str] | None, rows: str, read: Mapping[str, str]
) -> None:
    """Refuse a folder whose checkpoints are not those of a command; None: whatever the command is.

    Raises:
        UsageError: they are of another command, of other rows or inputs.
    """
    from emo_fairseq.cli.train.data import without_data_raw
    from emo_fairseq.data.input_digests import changed_inputs

    note = folder / COMMAND_FILE
    before = note.read_text(encoding="utf-8").split("\n") if note.is_file() else None
    is_other = before is None or without_data_raw(before) != without_data_raw(words or before)
    if is_other:
        raise UsageError(
            f"{folder}: holds a training by another command, see {note.name}, and fairseq would "
            "resume that; give another --output, or remove the folder",
            "output-in-use",
        )
    rows_before, read_before = _read_digests(folder)
    if rows and rows_before not in ("", rows):
        raise UsageError(
            f"{folder}: holds a training on other rows, the train or the valid split has changed "
            "since, and it would be resumed; remove the folder, or give another --output",
            "output-of-other-rows",
        )
    if changed := changed_inputs(read_before, read):
        raise UsageError(
            f"{folder}: holds a training on other {' and '.join(changed)}, which have changed "
            "since, and it would be resumed; remove the folder, or give another --output",
            "output-of-other-rows",
        )


def _read_digests(folder: Path) -> tuple[str, dict[str, str]]:
    """Return the digest of the rows of a training, and those of its inputs; empty without."""
    from emo_fairseq.data.input_digests import RECORDINGS

    file = folder / ROWS_FILE
    rows, *lines = (file.read_text(encoding="utf-8") if file.is_file() else "").split("\n")
    named = [line.partition(" ")[::2] for line in lines if line]
    return rows, {name or RECORDINGS: digest for digest, name in named}  # unnamed in older versions
