"""Progress of long work: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

_INTERVAL = 60.0  # seconds between two lines

Value = TypeVar("Value")


@contextmanager
def show_progress(
    title: str, total: int, unit: str = "row", hidden: bool = False
) -> Iterator[Callable[[int], object]]:
    """Yield a function to call with the number of items that are done since its last call."""
    if hidden or sys.stderr.isatty():
        with tqdm(desc=title, total=total, unit=unit, disable=hidden) as bar:
            yield bar.update
    else:
        yield _Lines(title, total, unit).update


def track(
    values: Iterable[Value], title: str, total: int, unit: str = "row", hidden: bool = False
) -> Iterator[Value]:
    """Yield values, and show the progress through them as :func:`show_progress` does."""
    with show_progress(title, total, unit, hidden) as update:
        for value in values:
            yield value
            update(1)


class _Lines:
    """Writes how many items are done, and how long the others will take at this rate."""

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._began = self._written = time.monotonic()

    def update(self, n: int) -> None:
        """Add `n` items, and write a line if the last one is a minute old."""
        self._done += n
        now = time.monotonic()
        if now - self._written < _INTERVAL:
            return
        self._written = now
        left = (now - self._began) / self._done * max(0, self._total - self._done)
        sys.stderr.write(
            f"{self._title}: {self._done:,} of {self._total:,} {self._unit}s, "
            f"{left / 60:.0f} min left\n"
        )
        sys.stderr.flush()
