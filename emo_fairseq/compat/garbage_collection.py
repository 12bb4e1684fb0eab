"""Importing and loading without the cyclic garbage collector."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Pause the cyclic garbage collector while libraries are imported or a model is loaded.

    They make a million objects that stay. Each time their number has grown by a quarter, Python
    would search all of them for garbage: half a second of a start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
