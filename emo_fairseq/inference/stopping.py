"""How a long computation is stopped between two of its steps."""

from collections.abc import Callable

ShouldStop = Callable[[], bool]


class StoppedError(Exception):
    """Raised between two steps after ``should_stop`` returned True."""


def never() -> bool:
    """Return False; the default of ``should_stop``."""
    return False
