"""The folder of a run: its files and its lock.

RUN/.hydra/config.yaml            the configuration, as Hydra composed it
RUN/run.json                      whether the training has ended, and of what (runs of a sweep)
RUN/run.log                       the output of its commands (runs of a sweep)
RUN/checkpoints/ or RUN/          checkpoint_best.pt, checkpoint_last.pt
RUN/predictions.tsv               of its own test set; predictions.NAME.tsv of another set
RUN/predictions.json              what these were made from; predictions.NAME.json likewise
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from filelock import lock_descriptor
from pydantic import Field

from data_prep.files.documents import Document, JsonObject, load_json, load_yaml
from data_prep.files.replacing import write_atomically
from emo_fairseq.checkpoint_files import BEST, LAST
from emo_fairseq.errors import UsageError

TRAINING, TRAINED = "training", "trained"
_PREDICTIONS = "predictions"
_TRAIN_AGAIN = "remove the run and train it again"
_LOCK_TIMEOUT = 10.0  # seconds in which a process that was just killed releases the folder
_POLL = 0.05


class RunState(Document):
    """The schema of run.json.

    Attributes:
        state: whether the training has ended.
        rows: digest of the manifests that it learns from.
        inputs: digests of the recordings, features and tokens that it learns from, by name.
        position: of the run among the combinations of the sweep that trained it.
    """

    state: Literal["training", "trained"]
    rows: str | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
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

    def inputs(self) -> dict[str, str]:
        """Return digests of what it learns from beside manifests; empty where none is recorded."""
        record = self._record()
        return {} if record is None else record.inputs

    def position(self) -> int | None:
        """Return its position in the sweep that trained it; None where it is not recorded."""
        record = self._record()
        return None if record is None else record.position

    def _record(self) -> RunState | None:
        file = self.path / "run.json"
        remedy = "delete it to have the run trained on"
        return load_json(file, RunState, remedy=remedy) if file.is_file() else None

    def set_state(
        self,
        state: str,
        rows: str | None = None,
        position: int | None = None,
        inputs: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Write run.json; see :class:`RunState`."""
        self.path.mkdir(parents=True, exist_ok=True)
        record = {"state": state, "rows": rows, "position": position, "inputs": {**inputs} or None}
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
