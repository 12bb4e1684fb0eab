"""How a message names the things it counts."""

from collections.abc import Sequence


def first_few(names: Sequence[str], most: int = 5) -> str:
    """The first names, joined by commas, with an ellipsis if there are more.

    >>> first_few(["a", "b", "c"], most=2)
    'a, b, ...'
    """
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])
