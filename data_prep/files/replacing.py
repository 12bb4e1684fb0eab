"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, is_locked: bool = False) -> Iterator[Path]:
    """A temporary name in the same folder, which takes `path`'s place if the block succeeds.

    Args:
        path: what readers see, the old content or the new, never half of one.
        is_locked: nobody else writes `path` meanwhile, so that what a killed run left behind under
            the same name is written over; else the name is this process's own.
    """
    mark = "" if is_locked else f".{os.getpid()}"
    part = path.with_name(f".{path.name}{mark}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
