"""Changes of a valid document, each of which its schema must refuse by the name of the key."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from data_prep.files.document_errors import MAX_DEPTH

Mutation = tuple[str, Any, str]  # what was done, the changed document, a part of the message


def mutations(
    document: dict[str, Any], required: Iterable[str] = (), free: Iterable[str] = ()
) -> Iterator[Mutation]:
    """Every key of another type, each required one dropped, unknown ones added, NaN and depth.

    Args:
        document: nested plain values that the schema accepts.
        required: top-level keys without which it is refused.
        free: keys, at any depth, below which anything may lie.
    """
    for name in required:
        changed = {key: value for key, value in document.items() if key != name}
        yield f"{name} dropped", changed, f"{name} is missing"
    for path, value in _walk(document, (), frozenset(free)):
        other = 7 if isinstance(value, dict | list) else [[]]
        yield f"{_named(path)} of another type", _with(document, path, other), str(path[-1])
        if isinstance(value, float):
            nan = _with(document, path, float("nan"))
            yield f"{_named(path)} NaN", nan, "finite number"
    yield "an unknown key", {**document, "unheard_of": 1}, "unheard_of"
    deep: Any = 1
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    yield "too deep", {**document, "deep": deep}, "nested deeper"
    yield "a list", [document], "where a mapping is expected"


def _walk(value: Any, path: tuple[Any, ...], free: frozenset[str]) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value[:1])
    for key, part in items:
        yield (*path, key), part
        if isinstance(part, dict | list) and key not in free:
            yield from _walk(part, (*path, key), free)


def _named(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _with(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(document)
    inside = changed
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return changed
