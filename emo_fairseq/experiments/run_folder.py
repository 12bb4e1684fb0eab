"""What lies in the folder of a run, and which folders are runs.

RUN/.hydra/config.yaml            the configuration, as Hydra composed it
RUN/run.json                      whether the training has ended (of a sweep)
RUN/run.log                       what the commands said (of a sweep)
RUN/checkpoints/ or RUN/          checkpoint_best.pt, checkpoint_last.pt
RUN/predictions.tsv               of its own test set; predictions.NAME.tsv of another set
RUN/predictions.json              what these were made from; predictions.NAME.json likewise
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_prep.errors import ManifestError
from data_prep.files.documents import (
    Document,
    JsonObject,
    load_json,
    load_yaml,
)
from data_prep.schema import write_atomically
from emo_fairseq.errors import UsageError

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
