"""How a message names the things it counts."""

from __future__ import annotations

from collections.abc import Collection

_SHOWN = 3


def first_few(values: Collection[str]) -> str:
    """The first values, and how many there are beside them.

    >>> first_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(list(values)[:_SHOWN])
    rest = len(values) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown
