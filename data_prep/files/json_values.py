"""JSON as nested plain values: bounded nesting, no duplicate keys, finite numbers alone."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from data_prep.files.document_errors import MAX_DEPTH, RefusedError, dotted_key, is_text

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_ESCAPED = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # NUL, and halves of surrogate pairs


class _Repeated:
    """Replaces a JSON object with a duplicate key."""

    def __init__(self, key: str) -> None:
        self.key = key


class _Objects:
    """Builds the objects of a JSON document, and records whether any may be invalid."""

    def __init__(self) -> None:
        self.are_suspect = False

    def build(self, pairs: list[tuple[str, object]]) -> object:
        """Build an object from its pairs."""
        content = dict(pairs)
        if len(content) == len(pairs):
            return content
        self.are_suspect = True
        counts = Counter(key for key, _ in pairs)
        return _Repeated(counts.most_common(1)[0][0])

    def number(self, digits: str) -> float:
        """Convert a floating number; one that is not finite is refused later, with its key."""
        value = float(digits)
        if not math.isfinite(value):
            self.are_suspect = True
        return value


def build_json(text: str, takes_any_text: bool = False) -> object:
    """Parse JSON.

    Args:
        text: of the document.
        takes_any_text: whether strings may hold NUL characters and halves of surrogate pairs.

    Raises:
        RefusedError: it is not JSON, is nested too deeply, or has a duplicate key or a number that
            is not finite.
    """
    _check_depth(text)
    objects = _Objects()
    objects.are_suspect = not takes_any_text and _ESCAPED.search(text) is not None
    try:
        value = json.loads(
            text,
            object_pairs_hook=objects.build,
            parse_float=objects.number,
            parse_constant=objects.number,
        )
    except RecursionError as error:
        raise RefusedError(f"is nested deeper than {MAX_DEPTH}") from error
    except json.JSONDecodeError as error:
        raise RefusedError(
            f"line {error.lineno}, column {error.colno}: is not JSON ({error.msg})"
        ) from error
    except ValueError as error:  # Python refuses integers of thousands of digits
        raise RefusedError("holds a number of thousands of digits") from error
    if objects.are_suspect and (problem := _find_invalid(value, takes_any_text)):
        raise RefusedError(problem)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                line = 1 + text.count("\n", 0, match.start())
                raise RefusedError(f"line {line}: is nested deeper than {MAX_DEPTH}")
        elif mark in "]}":
            depth -= 1


def _find_invalid(value: object, takes_any_text: bool) -> str | None:
    """Return the first problem of parsed JSON, with its key. The nesting is already checked."""
    for path, part in _walk(value, ()):
        if isinstance(part, _Repeated):
            return f"{dotted_key((*path, part.key))} is there twice"
        if isinstance(part, float) and not math.isfinite(part):
            return f"{dotted_key(path) or 'it'} is {part}, which is no finite number"
        if isinstance(part, str) and not (takes_any_text or is_text(part)):
            return f"{dotted_key(path) or 'it'} holds a NUL character or half a surrogate pair"
    return None


def _walk(
    value: object, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*path, key), key
            yield from _walk(part, (*path, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _walk(part, (*path, number))
    else:
        yield path, value
