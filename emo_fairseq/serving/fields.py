"""The fields of a request, from multipart/form-data or from JSON, each read as what it must be."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from data_prep.manifest.cells import find_text_fault
from emo_fairseq.serving.refusals import RefusalError

JSON, MULTIPART = "application/json", "multipart/form-data"

Reader = Callable[[str, Any], Any]  # name, value (bytes of a form) -> value, or a RefusalError


def media_type(content_type: str) -> str:
    """One of the two kinds of body.

    Raises:
        RefusalError: it is another one, or not said.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, MULTIPART):
        raise RefusalError(415, f"Send {MULTIPART}, or {JSON} with a text alone.", hang_up=True)
    return kind


def read_fields(kind: str, pairs: Iterable[tuple[str, Any]], readers: Mapping[str, Reader]) -> Any:
    """Each field read once.

    Raises:
        RefusalError: a name that is unknown or comes twice, or a value that its reader refuses.
    """
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in readers:
            known = ", ".join(readers)
            raise RefusalError(400, f"There is no field {_shown(name)}; known are {known}.")
        if name in found:
            raise RefusalError(400, f"The field {name} is there twice.")
        if kind == JSON and name == "audio":
            raise RefusalError(400, f"Audio cannot be sent as JSON; send it as {MULTIPART}.")
        found[name] = readers[name](name, value)
    return found


def json_pairs(body: bytes) -> list[tuple[str, Any]]:
    """Names and values of one flat JSON object.

    Raises:
        RefusalError: not JSON, not an object, or nested deeper than Python reads.
    """
    try:
        content = json.loads(body, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    except (ValueError, RecursionError):  # of UTF-8 and of huge numbers too
        raise RefusalError(400, "The request is not valid JSON.") from None
    if not isinstance(content, _Pairs):
        raise RefusalError(400, 'The request is not a JSON object such as {"text": "Hello"}.')
    return list(content)


class _Pairs(list[tuple[str, Any]]):
    """An object's pairs, which a list of JSON is not."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def audio_bytes(name: str, value: Any) -> bytes:
    """A file, which is not empty."""
    if not value:
        raise RefusalError(400, "The audio file is empty (0 bytes).")
    return bytes(value)


def text_up_to(characters: int) -> Reader:
    """A text; a blank one is none (None), as a form sends for an empty box."""

    def read(name: str, value: Any) -> str | None:
        text = _string(name, value)
        if len(text) > characters:
            raise RefusalError(
                413, f"The text has {len(text)} characters; {characters} is the most it may have."
            )
        if find_text_fault(text):  # but for its length
            raise RefusalError(400, "The text holds control characters; send plain text.")
        return text if text.strip() else None

    return read


def number_between(low: float, high: float) -> Reader:
    """A finite number."""

    def read(name: str, value: Any) -> float:
        if isinstance(value, bytes):
            try:
                value = float(_string(name, value))
            except ValueError:
                value = math.nan
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and low <= value <= high):  # NaN is not between them either
            raise RefusalError(400, f"{name} has to be a number from {low:g} to {high:g}.")
        return float(value)

    return read


def flag(name: str, value: Any) -> bool:
    """True or false."""
    flags = {b"true": True, b"false": False, True: True, False: False}
    if not isinstance(value, bytes | bool):
        raise RefusalError(400, f"{name} has to be true or false.")
    if value not in flags:
        raise RefusalError(400, f"{name} has to be true or false.")
    return flags[value]


def _string(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise RefusalError(400, f"The field {name} is not valid UTF-8.") from None
    if not isinstance(value, str):
        raise RefusalError(400, f"The field {name} has to be a string.")
    return value


def _shown(name: str) -> str:
    """A name as it may be shown: short, and printable."""
    return ascii(name if len(name) <= 40 else f"{name[:40]}…")
