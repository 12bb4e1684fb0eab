"""End the thread in which fairseq prefetches batches before the interpreter ends."""

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

_PATIENCE = 10.0  # seconds, for the current batch

_is_ending = threading.Event()
_readers: "weakref.WeakSet[Any]" = weakref.WeakSet()


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    wrap(BackgroundConsumer, "run", _stop_early)
    atexit.unregister(end_reading)
    atexit.register(end_reading)


def _stop_early(run: Callable[[Any], None]) -> Callable[[Any], None]:
    """End a prefetching thread after its current batch once the process ends.

    Python stops a daemon thread anywhere when the process ends. Within C++, where log-mel frames
    are computed, that aborts the process: a training that stopped in the middle of an epoch, with
    all its checkpoints written, had the exit code 134.
    """

    def run_until_the_end(self: Any) -> None:
        _readers.add(self)
        self._source = _until_the_end(self._source)
        run(self)

    return run_until_the_end


def _until_the_end(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        if _is_ending.is_set():
            return
        yield batch


def end_reading() -> None:
    """Wait for all threads to end, and drop the batches that they have read."""
    _is_ending.set()
    deadline = time.monotonic() + _PATIENCE
    for reader in list(_readers):
        while reader.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                reader._queue.get_nowait()  # makes room for a thread that waits for it
            reader.join(0.01)
