"""What lies in the folder of a run, and which folders are runs.

RUN/.hydra/config.yaml            the configuration, as Hydra composed it
RUN/run.json                      whether the training has ended (of a sweep)
RUN/run.log                       what the commands said (of a sweep)
RUN/checkpoints/ or RUN/          checkpoint_best.pt, checkpoint_last.pt
RUN/predictions.tsv               of its own test set; predictions.NAME.tsv of another set
RUN/predictions.json              what these were made from; predictions.NAME.json likewise
"""

import fcntl
import functools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data_prep.errors import ManifestError
from data_prep.files.documents import (
    Document,
    JsonObject,
    load_json,
    load_yaml,
)
from data_prep.folds.file import (
    fold_names,
    folds_path,
)
from data_prep.manifest.provenance import allowed_leaks
from data_prep.schema import (
    CORPUS_FILE,
    read_corpus,
    read_manifest,
    write_atomically,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.experiments.answers import (
    Answers,
    Key,
    read_answers,
)
from emo_fairseq.experiments.options import (
    TEST,
    Options,
    choosing_set,
    chosen_by,
    read_checkpoint,
)

TRAINING, TRAINED = "training", "trained"
_PREDICTIONS = "predictions"
_TRAIN_AGAIN = "remove the run and train it again"


class RunState(Document):
    """The schema of run.json."""

    state: Literal["training", "trained"]


@dataclass(frozen=True, order=True)
class RunFolder:
    """The folder of one training; see the table above."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def log(self) -> Path:
        """Where the output of its commands goes."""
        return self.path / "run.log"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        inside = self.path / "checkpoints"
        return inside if inside.is_dir() or not _has_checkpoints(self.path) else self.path

    @property
    def best(self) -> Path:
        """The checkpoint that a set has chosen."""
        return self.checkpoints / "checkpoint_best.pt"

    @property
    def last(self) -> Path:
        """The checkpoint that training goes on from."""
        return self.checkpoints / "checkpoint_last.pt"

    def predictions(self, name: str = "") -> Path:
        """The predictions file of its own test set, or of another one."""
        return self.path / f"{_PREDICTIONS}{'.' if name else ''}{name}.tsv"

    def predictions_there(self) -> list[Path]:
        """The predictions files that there are, that of its own test set first."""
        found = self.path.glob(f"{_PREDICTIONS}*.tsv")
        return sorted(found, key=lambda file: (file.stem != _PREDICTIONS, file.name))

    def has_results(self) -> bool:
        """Whether a training has left anything that is worth keeping."""
        return any(file.is_file() for file in (self.best, self.last, self.predictions()))

    def composed(self) -> dict[str, Any] | None:
        """The configuration as Hydra wrote it, interpolations as they stand; None without one."""
        file = self.path / ".hydra" / "config.yaml"
        return _load(load_yaml, file, JsonObject, _TRAIN_AGAIN) if file.is_file() else None

    def overrides(self) -> list[str]:
        """What was given on Hydra's command line; nothing without Hydra."""
        file = self.path / ".hydra" / "overrides.yaml"
        return _load(load_yaml, file, list[str], _TRAIN_AGAIN) if file.is_file() else []

    def state(self) -> str | None:
        """`TRAINING` or `TRAINED` of a sweep's run; None of any other."""
        file = self.path / "run.json"
        remedy = "delete it to have the run trained on"
        return _load(load_json, file, RunState, remedy).state if file.is_file() else None

    def set_state(self, state: str) -> None:
        """Remember how far the run has come."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "run.json", {"state": state})


def find_runs(places: Iterable[Path]) -> list[RunFolder]:
    """The runs among folders and below them, sorted by path.

    Raises:
        UsageError: a place is no folder, or holds no run.
    """
    found: set[RunFolder] = set()
    for place in places:
        if not place.is_dir():
            raise UsageError(f"{place}: there is no such folder; name runs, or a folder of runs")
        here = list(_runs_below(place))
        if not here:
            raise UsageError(
                f"{place}: holds no run, that is no checkpoint, no .hydra/config.yaml and no "
                "predictions.tsv"
            )
        found |= set(here)
    return sorted(found)


def _runs_below(folder: Path) -> Iterator[RunFolder]:
    if _is_run(folder):
        yield RunFolder(folder)
        return
    for below in sorted(folder.iterdir()):
        if below.is_dir() and not below.name.startswith("."):
            yield from _runs_below(below)


def _is_run(folder: Path) -> bool:
    return (
        (folder / ".hydra" / "config.yaml").is_file()
        or (folder / "run.json").is_file()
        or any(folder.glob(f"{_PREDICTIONS}*.tsv"))
        or _has_checkpoints(folder)
        or _has_checkpoints(folder / "checkpoints")
    )


def _has_checkpoints(folder: Path) -> bool:
    return any(folder.glob("checkpoint_*.pt"))


def _load(load: Callable[..., Any], file: Path, schema: Any, remedy: str) -> Any:
    try:
        return load(file, schema, remedy=remedy)
    except ManifestError as error:
        raise UsageError(str(error)) from error


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    write_atomically(file, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


# --- One process at a time in the folder of a run -------------------------------------------------

_PATIENCE = 10.0  # seconds that a process has to let go of a folder, such as one just killed
_POLL = 0.05


@contextmanager
def sole_use(folder: Path) -> Iterator[int]:
    """Lock a run's folder; a process that inherits the descriptor keeps it locked while it lives.

    So a training that outlives its sweep is not resumed beside itself.

    Raises:
        UsageError: another process is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE
    with (folder / ".lock").open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    what = "another process is at work here; wait for it, or end it"
                    raise UsageError(f"{folder}: {what}") from None
                time.sleep(_POLL)
        yield file.fileno()


# --- What finished runs said, and which runs are not finished and why -----------------------------

# With any of these a training may end before --max-update.
_ENDS_EARLY = ("checkpoint.patience", "optimization.stop_time_hours", "optimization.stop_min_lr")


@dataclass(frozen=True)
class Result:
    """A run's predictions of one set.

    Attributes:
        run: its folder.
        options: what it was trained with.
        answers: the predictions.
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of that corpus.
        data: the data dir that the predictions are of.
        left_out: rows by label that the model has no word for.
        leaks: that ``--allow-leak`` let pass, a sentence each.
    """

    run: RunFolder
    options: Options
    answers: Answers
    trained_on: str
    tested_on: str
    split: str
    data: Path
    left_out: Mapping[str, int]
    leaks: Sequence[str] = ()

    @property
    def place(self) -> tuple[int, str]:
        """Seed and fold."""
        return self.options.seed, self.options.fold

    @property
    def chosen_by(self) -> str:
        """The set and the metric that chose the checkpoint."""
        return chosen_by(self.options)


class Unfinished(NamedTuple):
    """A run that is in no table."""

    run: RunFolder
    why: str
    options: Options | None


def read_results(runs: Sequence[RunFolder]) -> tuple[list[Result], list[Unfinished]]:
    """All predictions of finished runs, and the other runs.

    Raises:
        UsageError: a predictions file that is none.
    """
    results, unfinished = [], []
    shared: dict[tuple[Key, ...], tuple[Key, ...]] = {}  # the same rows are kept once
    for run in runs:
        options = _options(run)
        if why := _why_unfinished(run, options):
            unfinished.append(Unfinished(run, why, options))
            continue
        for result in _results(run, options or Options({})):
            keys = shared.setdefault(result.answers.keys, result.answers.keys)
            results.append(replace(result, answers=replace(result.answers, keys=keys)))
    return results, unfinished


def _options(run: RunFolder) -> Options | None:
    """As its predictions were made with, else its checkpoint's, else as Hydra composed them."""
    for file in run.predictions_there():
        if kept := read_facts(file).get("options"):
            return Options(kept)
    for file in (run.best, run.last):
        if file.is_file():
            return read_checkpoint(file).options
    composed = run.composed()
    return None if composed is None else Options.of(composed)


def _why_unfinished(run: RunFolder, options: Options | None) -> str:
    files = run.predictions_there()
    if options is None:
        return "no checkpoint and no .hydra/config.yaml say how it was trained"
    if run.state() == TRAINING:
        return "its training has not ended"
    if choosing_set(options) == TEST:
        return "its checkpoint was chosen on the test set"
    if run.state() is None and (stopped := _stopped(run, options)):
        return stopped
    if not files:
        return "not scored" if run.best.is_file() else "no set has chosen a checkpoint"
    if run.best.is_file() and any(_age(file) < _age(run.best) for file in files):
        return "its predictions are older than its checkpoint; score it again"
    return ""


def _age(file: Path) -> float:
    return file.stat().st_mtime


def _stopped(run: RunFolder, options: Options) -> str:
    """Of a training that no sweep has watched: whether it stopped before its last update."""
    wanted = int(options.get("optimization.max_update", 0))
    if not (wanted and run.last.is_file()):
        return ""
    if any(float(options.get(name, -1)) > 0 for name in _ENDS_EARLY):
        return ""
    done = read_checkpoint(run.last).updates
    return f"its training stopped after {done} of {wanted} updates" if done < wanted else ""


def _results(run: RunFolder, options: Options) -> Iterator[Result]:
    for file in run.predictions_there():
        facts = read_facts(file)
        other = facts.get("set", {}).get("data")
        name = file.stem.partition(".")[2]
        trained_on = facts.get("trained_on") or corpus_name(options.data)
        is_elsewhere = bool(other or (name and not facts))
        fold = "" if is_elsewhere else options.fold
        for split, answers in read_answers(file, fold).items():
            yield Result(
                run,
                options,
                answers,
                trained_on,
                facts.get("corpus") or (name if is_elsewhere else trained_on),
                split,
                Path(other) if other else (Path(name) if is_elsewhere else options.data),
                facts.get("left_out", {}),
                allowed_leaks(file),
            )


@functools.cache
def speakers(data: Path) -> Mapping[str, str | None]:
    """The speaker of each utterance of a data dir; empty where it is gone, or has no manifests."""
    found: dict[str, str | None] = {}
    if (data / CORPUS_FILE).is_file():
        for file in sorted(data.glob("*.tsv")):
            try:
                found |= {row.id: row.speaker for row in read_manifest(file)}
            except ManifestError as error:
                raise UsageError(str(error)) from error
    return found


def folds_there(data: Path, protocol: str) -> list[str]:
    """The folds that a protocol has; none where its file is gone."""
    file = folds_path(data, protocol)
    if not (protocol and file.is_file()):
        return []
    return fold_names(file)


def corpus_name(data: Path) -> str:
    """What corpus.yaml calls the corpus; the folder's name where there is none."""
    return read_corpus(data).name if (data / CORPUS_FILE).is_file() else data.name
