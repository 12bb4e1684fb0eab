"""The folder of a run: its files, its lock, and its results.

RUN/.hydra/config.yaml            the configuration, as Hydra composed it
RUN/run.json                      whether the training has ended, and of what (runs of a sweep)
RUN/run.log                       the output of its commands (runs of a sweep)
RUN/checkpoints/ or RUN/          checkpoint_best.pt, checkpoint_last.pt
RUN/predictions.tsv               of its own test set; predictions.NAME.tsv of another set
RUN/predictions.json              what these were made from; predictions.NAME.json likewise
"""

import functools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from filelock import lock_descriptor

from data_prep.files.documents import Document, JsonObject, load_json, load_yaml
from data_prep.files.replacing import write_atomically
from data_prep.folds.file import fold_names, folds_path
from data_prep.manifest.provenance import allowed_leaks, transductive_notes
from data_prep.schema import CORPUS_FILE, TEST, read_corpus, read_manifest
from emo_fairseq.checkpoint_files import BEST, LAST
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import read_facts
from emo_fairseq.evaluation.statistics import Predictions, read_predictions
from emo_fairseq.experiments.options import Options, read_checkpoint, selected_by, selection_set

TRAINING, TRAINED = "training", "trained"
_PREDICTIONS = "predictions"
_TRAIN_AGAIN = "remove the run and train it again"
_LOCK_TIMEOUT = 10.0  # seconds in which a process that was just killed releases the folder
_POLL = 0.05
# With any of these a training may end before --max-update.
_ENDS_EARLY = ("checkpoint.patience", "optimization.stop_time_hours", "optimization.stop_min_lr")


class RunState(Document):
    """The schema of run.json.

    Attributes:
        state: whether the training has ended.
        rows: digest of the manifests that it learns from.
        position: of the run among the combinations of the sweep that trained it.
    """

    state: Literal["training", "trained"]
    rows: str | None = None
    position: int | None = None


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
        """The file that the output of its commands is added to."""
        return self.path / "run.log"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        inside = self.path / "checkpoints"
        return inside if inside.is_dir() or not _has_checkpoints(self.path) else self.path

    @property
    def best(self) -> Path:
        """The checkpoint that a validation set has selected."""
        return self.checkpoints / BEST

    @property
    def last(self) -> Path:
        """The checkpoint that training resumes from."""
        return self.checkpoints / LAST

    def predictions_file(self, name: str = "") -> Path:
        """Return the predictions file of its own test set, or of another set by name."""
        return self.path / f"{_PREDICTIONS}{'.' if name else ''}{name}.tsv"

    def predictions_files(self) -> list[Path]:
        """Return the predictions files that exist, that of its own test set first."""
        files = self.path.glob(f"{_PREDICTIONS}*.tsv")
        return sorted(files, key=lambda file: (file.stem != _PREDICTIONS, file.name))

    def has_results(self) -> bool:
        """Whether a training has left a checkpoint or predictions."""
        return any(file.is_file() for file in (self.best, self.last, self.predictions_file()))

    def hydra_config(self) -> dict[str, Any] | None:
        """Return the configuration as Hydra wrote it, interpolations unresolved; None without."""
        file = self.path / ".hydra" / "config.yaml"
        return load_yaml(file, JsonObject, remedy=_TRAIN_AGAIN) if file.is_file() else None

    def hydra_overrides(self) -> list[str]:
        """Return the overrides of Hydra's command line; none without Hydra."""
        file = self.path / ".hydra" / "overrides.yaml"
        return load_yaml(file, list[str], remedy=_TRAIN_AGAIN) if file.is_file() else []

    def state(self) -> str | None:
        """Return `TRAINING` or `TRAINED` of a sweep's run; None of any other."""
        record = self._record()
        return None if record is None else record.state

    def rows(self) -> str | None:
        """Return the digest of what it learns from; None where it is not recorded."""
        record = self._record()
        return None if record is None else record.rows

    def position(self) -> int | None:
        """Return its position in the sweep that trained it; None where it is not recorded."""
        record = self._record()
        return None if record is None else record.position

    def _record(self) -> RunState | None:
        file = self.path / "run.json"
        remedy = "delete it to have the run trained on"
        return load_json(file, RunState, remedy=remedy) if file.is_file() else None

    def set_state(self, state: str, rows: str | None = None, position: int | None = None) -> None:
        """Write run.json; see :class:`RunState`."""
        self.path.mkdir(parents=True, exist_ok=True)
        record = {"state": state, "rows": rows, "position": position}
        known = {name: value for name, value in record.items() if value is not None}
        write_json(self.path / "run.json", known)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder's lock, and yield its file descriptor.

        The kernel keeps the lock until every process that inherited the descriptor has closed it.
        So a training that outlives its sweep is not resumed beside itself.

        Raises:
            UsageError: another process works in the folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + _LOCK_TIMEOUT
        with (self.path / ".lock").open("a") as file:
            while not lock_descriptor(file.fileno(), blocking=False):
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"{self.path}: another process works here; wait for it, or end it",
                        "run-locked",
                    )
                time.sleep(_POLL)
            yield file.fileno()


def find_runs(folders: Iterable[Path]) -> list[RunFolder]:
    """Return the runs among folders and below them, sorted by path.

    Raises:
        UsageError: a folder does not exist, or holds no run.
    """
    runs: set[RunFolder] = set()
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"{folder}: there is no such folder; name runs, or a folder of runs",
                "run-folder-missing",
            )
        below = set(_runs_below(folder))
        if not below:
            raise UsageError(
                f"{folder}: holds no run, that is no checkpoint, no .hydra/config.yaml and no "
                "predictions.tsv; name another folder",
                "runs-missing",
            )
        runs |= below
    return sorted(runs)


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


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically."""
    write_atomically(file, json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n")


# --- Results --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """A run's predictions of one set.

    Attributes:
        run: its folder.
        options: of its training.
        predictions: without probabilities.
        trained_on: name of the corpus.
        tested_on: name of the corpus.
        split: of the corpus that it is tested on.
        data: the data dir of that corpus.
        left_out: how many rows there are of each label that the model does not have.
        leaks: what ``--allow-leak`` accepted, a sentence each.
        transductive: how predictions depend on other rows of the split, a sentence each.
    """

    run: RunFolder
    options: Options
    predictions: Predictions
    trained_on: str
    tested_on: str
    split: str
    data: Path
    left_out: Mapping[str, int]
    leaks: Sequence[str] = ()
    transductive: Sequence[str] = ()

    @property
    def seed_and_fold(self) -> tuple[int, str]:
        """The key of the run within its system."""
        return self.options.seed, self.options.fold

    @property
    def selected_by(self) -> str:
        """The set and the metric that selected the checkpoint."""
        return selected_by(self.options)

    @property
    def is_cross_corpus(self) -> bool:
        """Whether it is tested on another corpus, so that all folds have the same rows."""
        return self.data != self.options.data


class Unfinished(NamedTuple):
    """A run that is in no table.

    Attributes:
        run: its folder.
        reason: why it is in no table.
        options: of its training; None where they are not recorded.
    """

    run: RunFolder
    reason: str
    options: Options | None


def read_results(runs: Sequence[RunFolder]) -> tuple[list[Result], list[Unfinished]]:
    """Return all predictions of finished runs, and the other runs, both in the order of tables.

    Runs of a sweep are in the order of its command line, so that a table of them begins with the
    same system whichever command prints it; other runs follow, by folder.

    Raises:
        UsageError: a predictions file is damaged.
    """
    results, unfinished = [], []
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # equal ids are kept in memory once
    for run in sorted(runs, key=_place_in_tables):
        options = _options(run)
        if reason := _why_unfinished(run, options):
            unfinished.append(Unfinished(run, reason, options))
            continue
        for result in _results(run, options or Options({})):
            ids = shared.setdefault(result.predictions.ids, result.predictions.ids)
            results.append(replace(result, predictions=replace(result.predictions, ids=ids)))
    return results, unfinished


def _place_in_tables(run: RunFolder) -> tuple[Path, float, Path]:
    position = run.position()
    return run.path.parent, math.inf if position is None else position, run.path


def _options(run: RunFolder) -> Options | None:
    """Those recorded beside its predictions, else in its checkpoint, else as Hydra composed."""
    for file in run.predictions_files():
        if recorded := read_facts(file).get("options"):
            return Options(recorded)
    for file in (run.best, run.last):
        if file.is_file():
            return read_checkpoint(file).options
    config = run.hydra_config()
    return None if config is None else Options.of(config)


def _why_unfinished(run: RunFolder, options: Options | None) -> str:
    files = run.predictions_files()
    if options is None:
        return "no checkpoint and no .hydra/config.yaml has the options of its training"
    if run.state() == TRAINING:
        return "its training has not ended"
    if selection_set(options) == TEST:
        return "its checkpoint was chosen on the test set"
    if run.state() is None and (stopped := _why_stopped(run, options)):
        return stopped
    if not files:
        return "not scored" if run.best.is_file() else "no set has chosen a checkpoint"
    if run.best.is_file() and any(_modified(file) < _modified(run.best) for file in files):
        return "its predictions are older than its checkpoint; score it again"
    return ""


def _modified(file: Path) -> float:
    return file.stat().st_mtime


def _why_stopped(run: RunFolder, options: Options) -> str:
    """Whether a training without a sweep's run.json stopped before its last update."""
    max_update = int(options.get("optimization.max_update", 0))
    if not (max_update and run.last.is_file()):
        return ""
    if any(float(options.get(name, -1)) > 0 for name in _ENDS_EARLY):
        return ""
    if options.get("task.probe"):  # which is solved without an update
        return ""
    updates = read_checkpoint(run.last).updates
    if updates >= max_update:
        return ""
    return f"its training stopped after {updates} of {max_update} updates"


def _results(run: RunFolder, options: Options) -> Iterator[Result]:
    for file in run.predictions_files():
        facts = read_facts(file)
        other = facts.get("set", {}).get("data")
        name = file.stem.partition(".")[2]
        trained_on = facts.get("trained_on") or corpus_name(options.data)
        is_cross_corpus = bool(other or (name and not facts))
        for split, predictions in read_predictions(file).items():
            yield Result(
                run=run,
                options=options,
                predictions=predictions.compact(),
                trained_on=trained_on,
                tested_on=facts.get("corpus") or (name if is_cross_corpus else trained_on),
                split=split,
                data=Path(other or (name if is_cross_corpus else options.data)),
                left_out=facts.get("left_out", {}),
                leaks=allowed_leaks(file),
                transductive=transductive_notes(file),
            )


def corpus_name(data: Path) -> str:
    """Return the name in corpus.yaml; the folder's name where there is none."""
    return read_corpus(data).name if (data / CORPUS_FILE).is_file() else data.name


@functools.cache
def speakers_of(data: Path) -> Mapping[str, str | None]:
    """Return the speaker of each utterance of a data dir; empty where it has no manifests."""
    speakers: dict[str, str | None] = {}
    if (data / CORPUS_FILE).is_file():
        for file in sorted(data.glob("*.tsv")):
            speakers |= {row.id: row.speaker for row in read_manifest(file)}
    return speakers


def folds_of(data: Path, protocol: str) -> list[str]:
    """Return the folds of a protocol; none where its file does not exist."""
    file = folds_path(data, protocol)
    if not (protocol and file.is_file()):
        return []
    return fold_names(file)
