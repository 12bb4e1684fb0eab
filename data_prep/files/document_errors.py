"""Faults of documents in words: content that is refused, and what pydantic reports of a schema."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

MAX_DEPTH = 64  # of nested lists and mappings; our documents have at most six
_SHOWN_KEYS = 12  # of a schema, in the message of an unknown key


class RefusedError(ValueError):
    """The content of a document is invalid; the message names the line and the key."""


def is_text(value: str) -> bool:
    """Return whether a string is text: no NUL, and no half of a surrogate pair."""
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False


_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "mapping_type": "a mapping",
    "finite_number": "a finite number",
    "none_required": "nothing",
    "string_unicode": "text",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} up",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "too_short": "a length from {min_length} up",
    "too_long": "a length up to {max_length}",
    "string_too_short": "a text of {min_length} characters or more",
    "literal_error": "{expected}",
    "invalid-json-value": "text, a number, true or false, a list or a mapping",
}
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxlong = 2, 3, 3, 30


def short(value: object) -> str:
    """Return a short representation of a value."""
    if value is None or isinstance(value, date):
        return str(value or "nothing")
    return _SHORT.repr(value)


def dotted_key(path: Sequence[object]) -> str:
    """Format a path of keys.

    >>> dotted_key(["labels", "emotion", 2])
    'labels.emotion[2]'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = str(part)
            name = name if len(name) <= 40 else f"{name[:37]}..."
            text += f".{name}" if text else name
    return text


def describe_fault(fault: ErrorDetails, value: object, schema: Any, at: str) -> str:
    """Describe a fault of pydantic: the key, its value, and the expected type."""
    path = _path_in(fault["loc"], value)
    key = ".".join(filter(None, [at, dotted_key(path)])).replace(".[", "[") or "it"
    kind = fault["type"]
    if kind == "missing":
        return f"{key} is missing"
    if kind == "extra_forbidden":
        return f"{key} is an unknown key{_known_keys(schema, path)}"
    value_shown = short(fault["input"])
    if kind == "value_error":
        return f"{key}: {fault['ctx']['error']}"
    if kind == "invalid_key" or fault["loc"][-1:] == ("[key]",):
        return f"{key}: the key {value_shown} is no text; put it in quotes"
    expected = _expected(fault)
    quote = "; put it in quotes" if kind == "string_type" and _was_text(fault["input"]) else ""
    return f"{key} is {value_shown} where {expected} is expected{quote}"


def _expected(fault: ErrorDetails) -> str:
    bounds = fault.get("ctx", {})
    if known := _EXPECTED.get(fault["type"]):
        return known.format(**bounds)
    return fault["msg"].removeprefix("Input should be ").removeprefix("Input should ")


def _was_text(value: object) -> bool:
    """Return whether YAML may have converted what was meant as text."""
    return value is not None and not isinstance(value, str | list | dict)


def _path_in(location: Sequence[object], value: object) -> list[object]:
    """Return pydantic's location without types of unions, which are not in the document."""
    path: list[object] = []
    for number, step in enumerate(location, start=1):
        is_last = number == len(location)
        try:
            value = value[step]  # type: ignore[index]
        except (LookupError, TypeError):
            if not (is_last and isinstance(value, dict) and step != "[key]"):
                continue
        path.append(step)
    return path


def _known_keys(schema: Any, path: Sequence[object]) -> str:
    """Return the keys at the top of the schema, for the message of an unknown key."""
    if len(path) != 1 or not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return ""
    names = [field.alias or name for name, field in schema.model_fields.items()]
    rest = ", ..." if len(names) > _SHOWN_KEYS else ""
    return f" (known: {', '.join(names[:_SHOWN_KEYS])}{rest})"
