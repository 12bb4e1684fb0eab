"""Options in which two runs differ."""

from collections.abc import Mapping
from typing import Any


def changed_options(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return each option that has changed, with both values.

    >>> changed_options({"lr": 0.1, "dropout": 0.2}, {"lr": 0.1, "dropout": 0.3})
    ['dropout 0.2 -> 0.3']
    """
    return [
        f"{name} {before.get(name)} -> {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
