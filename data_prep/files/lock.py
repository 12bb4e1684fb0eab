"""Locks of folders: one process at a time writes into a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from data_prep.errors import CodedError

logger = logging.getLogger(__name__)


@contextmanager
def locked(file: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock `file` of its folder; the kernel releases it when the process ends.

    While another process holds it, this one logs that and waits.

    Raises:
        CodedError: another process holds it, and `wait` is False.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if not wait:
            message = f"{file.parent}: another run is writing here; wait until it ends"
            raise CodedError(message, "folder-locked") from None
        logger.info("%s: another process writes here; waiting", file.parent)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
