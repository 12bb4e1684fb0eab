"""The thread in which fairseq reads batches ahead, ended before the interpreter is."""

import atexit
import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fairseq.data.iterators import BackgroundConsumer

from emo_fairseq.compat.patching import wrap

_PATIENCE = 10.0  # seconds, for the batch at hand

_enough = threading.Event()
_readers: "weakref.WeakSet[Any]" = weakref.WeakSet()


def apply() -> None:
    """Apply all that this module says."""
    wrap(BackgroundConsumer, "run", _until_enough)
    atexit.unregister(end_reading)
    atexit.register(end_reading)


def _until_enough(run: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let a reader end after the batch at hand once nobody wants another one.

    It is a daemon thread, which Python ends wherever it is when the process does. Within C++, where
    log-mel frames are computed, that aborts the process: a training that stopped in the middle of
    an epoch, all its checkpoints written, had the exit code 134.
    """

    def run_until_enough(self: Any) -> None:
        _readers.add(self)
        self._source = _while_wanted(self._source)
        run(self)

    return run_until_enough


def _while_wanted(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        if _enough.is_set():
            return
        yield batch


def end_reading() -> None:
    """Wait for all readers to end; what they have read, or still read, is thrown away."""
    _enough.set()
    deadline = time.monotonic() + _PATIENCE
    for reader in list(_readers):
        while reader.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                reader._queue.get_nowait()  # one that waits for room in it goes on
            reader.join(0.01)
