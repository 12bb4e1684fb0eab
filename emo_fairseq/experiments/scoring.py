"""Scoring runs on a set, by fairseq-validate: which are to be scored, and with which command."""

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.schema import CORPUS_FILE, read_corpus
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import (
    facts_path,
    read_facts,
)
from emo_fairseq.experiments.jobs import (
    Command,
    Outcome,
    Steps,
    failure,
)
from emo_fairseq.experiments.label_map import (
    LabelMap,
    MappedFolders,
)
from emo_fairseq.experiments.locking import sole_use
from emo_fairseq.experiments.options import (
    Checkpoint,
    Options,
    read_checkpoint,
)
from emo_fairseq.experiments.run_folder import (
    TRAINING,
    RunFolder,
    write_json,
)
from emo_fairseq.experiments.selection import (
    TEST,
    choosing_set,
    chosen_by,
    refuse_test_selection,
)

_PLUGIN = Path(__file__).parents[1]  # emo_fairseq


@dataclass(frozen=True)
class ScoringSet:
    """What runs are scored on.

    Attributes:
        split: of the data dir.
        name: in the name of the predictions file; empty for a run's own test set.
        data: another data dir than the one that the run was trained on.
        data_raw: where its audio paths start from.
        labels: from its labels to the model's.
        mapped: keeps the data dirs whose labels have been exchanged.
    """

    split: str = TEST
    name: str = ""
    data: Path | None = None
    data_raw: Path | None = None
    labels: LabelMap | None = None
    mapped: MappedFolders = field(default_factory=MappedFolders)


def score_steps(run: RunFolder, test_set: ScoringSet) -> Steps:
    """Score a run unless its predictions are up to date.

    Raises:
        UsageError: there is nothing to score, or the test set chose the checkpoint.
    """
    with sole_use(run.path) as held:
        return (yield from score(run, test_set, held))


def score(run: RunFolder, test_set: ScoringSet, held: int) -> Generator[Command, int, Outcome]:
    """The same in a folder that is locked already."""
    file = run.predictions(test_set.name)
    if run.state() == TRAINING:
        raise UsageError(f"{run.path}: its training has not ended; run its sweep again")
    wanted = _wanted(test_set)
    if file.is_file() and not run.best.is_file() and not run.last.is_file():
        before = (read_facts(file).get("set") or wanted).get("split")
        if before != test_set.split:
            raise UsageError(
                f"{file}: is of {before}, not of {test_set.split}, and the run's checkpoints are "
                "gone; train it again"
            )
        return Outcome(True, "scored before, its checkpoints are gone")
    path = _chosen(run)
    checkpoint = read_checkpoint(path)
    refuse_test_selection(checkpoint.options)
    if test_set.data and test_set.data.resolve() == checkpoint.options.data.resolve():
        return Outcome(True, "left out: it was trained on this data dir")
    is_new = file.is_file() and file.stat().st_mtime >= path.stat().st_mtime
    if is_new and read_facts(file).get("set") == wanted:
        return Outcome(True, "scored before")
    began = time.monotonic()
    place, left_out = _place(checkpoint, test_set)
    words = [*_words(checkpoint.options, path, test_set.split), *place]
    command = Command([*words, "--save-predictions", str(file)], run.log, held)
    code = yield command
    if code:
        return failure(command, code)
    write_json(facts_path(file), _facts(checkpoint, path, test_set, wanted, left_out))
    return Outcome(
        True, f"scored on {test_set.name or test_set.split} in {time.monotonic() - began:.0f} s"
    )


def _chosen(run: RunFolder) -> Path:
    if run.best.is_file():
        return run.best
    if run.last.is_file() and choosing_set(read_checkpoint(run.last).options) is None:
        return run.last
    raise UsageError(f"{run.path}: no set has chosen a checkpoint, there is no {run.best.name}")


def _words(options: Options, path: Path, split: str) -> list[str]:
    """The checkpoint holds the options of the task; these are of scoring."""
    words = ["fairseq-validate", "--user-dir", str(_PLUGIN), "--path", str(path)]
    words += ["--task", str(options.get("task._name")), "--valid-subset", split]
    for name in ("batch_size", "max_tokens", "num_workers"):
        if (value := options.get(f"dataset.{name}")) is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return [*words, "--cpu"] if options.get("common.cpu") else words


def _place(checkpoint: Checkpoint, test_set: ScoringSet) -> tuple[Sequence[str], Mapping[str, int]]:
    """Options that name another data dir, and the rows of it that have no label of the model."""
    if test_set.data is None:
        return (), {}
    folder, left_out = test_set.data, {}
    if test_set.labels is not None:
        target = str(checkpoint.options.get("task.target", "emotion"))
        found = test_set.mapped.folder(
            test_set.data, test_set.split, target, test_set.labels, checkpoint.labels
        )
        folder, left_out = found.path, dict(found.left_out)
    raw = str((test_set.data_raw or test_set.data).resolve())
    # The folds of the corpus that was trained on are not those of another.
    words = ["--data", str(folder), "--data-raw", raw, "--model-overrides", '{"fold": None}']
    return words, left_out


def _wanted(test_set: ScoringSet) -> dict[str, Any]:
    """What decides whether predictions are of this set."""
    return {
        "split": test_set.split,
        "data": None if test_set.data is None else str(test_set.data.resolve()),
        "labels": None if test_set.labels is None else dict(test_set.labels),
    }


def _facts(
    checkpoint: Checkpoint,
    path: Path,
    test_set: ScoringSet,
    wanted: Mapping[str, Any],
    left_out: Mapping[str, int],
) -> dict[str, Any]:
    options = checkpoint.options
    return {
        "set": dict(wanted),
        "corpus": corpus_name(test_set.data or options.data),
        "trained_on": checkpoint.corpus or corpus_name(options.data),
        "checkpoint": path.name,
        "updates": checkpoint.updates,
        "chosen_by": chosen_by(options),
        "left_out": dict(left_out),
        "options": dict(options.values),
    }


def corpus_name(data: Path) -> str:
    """What corpus.yaml calls the corpus; the folder's name where there is none."""
    return read_corpus(data).name if (data / CORPUS_FILE).is_file() else data.name
