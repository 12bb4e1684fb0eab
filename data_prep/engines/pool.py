"""The contract between the scheduler and the pools of workers that it gives units of work to."""

from __future__ import annotations

import logging
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Ticket = tuple[int, int]  # number of a call of the scheduler, and of a unit in it
Build = Callable[[], Callable[[Any], Any]]


@dataclass(frozen=True)
class Answer:
    """What a worker returns for a unit: a result or an error, and what was logged meanwhile."""

    result: Any = None
    error: Exception | None = None
    records: Sequence[logging.LogRecord] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes:
        ticket: of the unit.
        answer: of its worker; None if that died.
        death: why the worker died.
    """

    ticket: Ticket
    answer: Answer | None
    death: str = ""


class Pool(Protocol):
    """Workers, each of which computes one unit at a time."""

    @property
    def size(self) -> int:
        """How many units are computed at once."""

    @property
    def is_free(self) -> bool:
        """Whether a worker is free, or another one may be started."""

    def submit(self, ticket: Ticket, unit: Any) -> None:
        """Give a unit to a free worker."""

    def wait(self) -> Sequence[Outcome]:
        """Wait until the state of a worker changes; return the units that ended meanwhile."""

    def close(self) -> None:
        """End all workers, whatever they do."""


# -- In a worker process ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What a worker process is started with.

    Attributes:
        build: picklable; returns the function of a unit.
        folder: the working directory of the command, that relative paths start from.
        level: level of the root logger of the command.
    """

    build: Build
    folder: str = field(default_factory=os.getcwd)
    level: int = field(default_factory=lambda: logging.getLogger().level)


class WorkerFunction:
    """The function of one worker process; what it raises and logs is part of the answer."""

    def __init__(self, setup: Setup) -> None:
        with suppress(OSError):  # on another machine it may not be there
            os.chdir(Path(setup.folder))
        self._records: list[logging.LogRecord] = []
        root = logging.getLogger()
        root.handlers = [_Collector(self._records)]
        root.setLevel(setup.level)
        self._build = setup.build
        self._function: Callable[[Any], Any] | None = None

    def __call__(self, unit: Any) -> Answer:
        """Compute a unit; the first one builds the function."""
        self._records.clear()
        try:
            if self._function is None:
                self._function = self._build()
            return Answer(self._function(unit), None, tuple(self._records))
        except Exception as error:  # noqa: BLE001 - raised again where results are taken
            return Answer(None, _portable(error), tuple(self._records))


class _Collector(logging.Handler):
    def __init__(self, records: list[logging.LogRecord]) -> None:
        super().__init__()
        self._into = records

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record in a form that can be pickled."""
        if record.exc_info:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info))
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._into.append(record)


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled, with the traceback of the worker as a note."""
    error.__traceback__, text = None, "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its __init__ raises
        copy = RuntimeError(text)
    copy.add_note(f"In a worker:\n{text}")
    return copy
