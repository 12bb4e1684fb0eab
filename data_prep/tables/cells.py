"""Cells of tables, whose kind depends on the format: text, number, null, list, class number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from data_prep.manifest.cells import is_blank
from data_prep.tables.table import Table


def is_missing(value: Any) -> bool:
    """Return whether a cell is blank, null, or a number that is NaN."""
    if isinstance(value, str):
        return is_blank(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> str:
    """Return the text of a cell; "" for null and NaN.

    Raises:
        ValueError: a list, an object, bytes.

    >>> plain("None"), plain(None), plain(3), plain(float("nan"))
    ('None', '', '3', '')
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    if isinstance(value, bytes | bytearray | memoryview | Mapping) or hasattr(value, "__len__"):
        raise ValueError(f"holds {_kind(value)}, not one plain value")
    return str(value)


def text_cell(value: Any) -> str:
    """Return a cell that must be text; "" for null.

    Raises:
        ValueError: a number, a truth value, a list, an object, bytes.
    """
    if value is not None and not isinstance(value, str) and plain(value):
        raise ValueError(f"holds {value!r}, {_kind(value)} and no text")
    return plain(value)


def class_name(table: Table, column: str, value: Any) -> Any:
    """Return the name of a class number, if the table has names for the column; else the value.

    Raises:
        ValueError: a number without a name.
    """
    names = table.class_names.get(column)
    if names is None or not isinstance(value, int):
        return value
    if value >= len(names):
        raise ValueError(f"{column} is {value}, but its names are {', '.join(names)}")
    return names[value] if value >= 0 else ""  # -1: `datasets` has no label


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    return "an object" if isinstance(value, Mapping) else "a list"
