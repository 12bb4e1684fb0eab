"""One process at a time in the folder of a run."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emo_fairseq.errors import UsageError

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
