"""The fields of a request, of multipart/form-data or of JSON, each validated by a reader."""

import base64
import binascii
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NoReturn

from data_prep.manifest.cells import find_text_fault
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import JSON, MULTIPART

_JSON_MARKS = b"{[,"  # one at least for each value, and none in base64
_JSON_ROW_MARKS = 16  # of a row, beside those of its text

Reader = Callable[[str, Any], Any]  # name, value (bytes of a form) -> value; may raise an HttpError


def read_fields(
    kind: str,
    pairs: Iterable[tuple[str, Any]],
    readers: Mapping[str, Reader],
    repeated: Collection[str] = (),
) -> dict[str, Any]:
    """Read each field by its reader.

    Args:
        kind: media type of the body.
        pairs: names and values.
        readers: by name.
        repeated: names of forms that may repeat; their values become a list, which is read by its
            reader.

    Raises:
        HttpError: a name that is unknown or repeated, or a value that its reader refuses.
    """
    fields: dict[str, Any] = {}
    lists: dict[str, list[Any]] = {}
    for name, value in pairs:
        if name not in readers:
            message = f"There is no field {_shown(name)}; known fields: {', '.join(readers)}."
            raise HttpError(400, message, "field-unknown")
        if name in repeated and kind == MULTIPART:
            lists.setdefault(name, []).append(value)
            continue
        if name in fields:
            raise HttpError(400, f"The field {name} is repeated.", "field-duplicate")
        fields[name] = readers[name](name, value)
    return {**fields, **{name: readers[name](name, values) for name, values in lists.items()}}


def check_json_size(body: bytes, limits: Limits) -> None:
    """Refuse JSON of more values than rows can have, before it is parsed into objects.

    Raises:
        HttpError: there are more.
    """
    marks = sum(body.count(mark) for mark in _JSON_MARKS)
    if marks > limits.rows * (limits.text_characters + _JSON_ROW_MARKS):
        message = f"The request has more values than {limits.rows} rows, the limit."
        raise HttpError(413, message, "rows-too-many")


def json_pairs(body: bytes) -> list[tuple[str, Any]]:
    """Parse a flat JSON object into names and values.

    Raises:
        HttpError: not JSON, not an object, or nested deeper than Python parses.
    """
    try:
        content = json.loads(body, object_pairs_hook=_Pairs, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # of UTF-8 and of huge numbers too
        raise HttpError(400, "The request is not valid JSON.", "json-invalid") from None
    if not isinstance(content, _Pairs):
        message = 'The request is not a JSON object such as {"text": "Hello"}.'
        raise HttpError(400, message, "json-not-object")
    return list(content)


class _Pairs(list[tuple[str, Any]]):
    """The pairs of an object, distinguished from a list of JSON by their type."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def audio_bytes(name: str, value: Any) -> bytes:
    """Read an audio file that is not empty."""
    if not isinstance(value, bytes):
        message = f"Audio cannot be sent as JSON here; send it as {MULTIPART}."
        raise HttpError(400, message, "audio-in-json")
    if not value:
        raise HttpError(400, "The audio file is empty (0 bytes).", "audio-empty")
    return bytes(value)


def audio_or_base64(name: str, value: Any) -> bytes:
    """Read an audio file that is not empty; in JSON it is base64."""
    return audio_bytes(name, _from_base64(name, value, "audio-not-base64"))


def video_or_base64(name: str, value: Any) -> bytes:
    """Read a video file that is not empty; in JSON it is base64."""
    value = _from_base64(name, value, "video-not-base64")
    if not isinstance(value, bytes):
        message = f"{name} has to be a file, or in JSON a string in base64."
        raise HttpError(400, message, "video-in-json")
    if not value:
        raise HttpError(400, "The video file is empty (0 bytes).", "video-empty")
    return value


def _from_base64(name: str, value: Any, code: str) -> Any:
    """Return the bytes of a string; what is none is returned as it is."""
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):  # the latter of characters beyond ASCII
        raise HttpError(400, f"{name} is not valid base64.", code) from None


def list_of(most: int, items_name: str) -> Reader:
    """Return the reader of a list with one entry at least."""

    def read(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or isinstance(value, _Pairs) or not value:
            message = f"{name} has to be a list of {items_name}."
            raise HttpError(400, message, "field-not-list")
        if len(value) > most:
            message = f"{name} has {len(value)} entries; the limit is {most}."
            raise HttpError(413, message, "rows-too-many")
        return value

    return read


def object_fields(value: Any, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read the fields of an object within JSON.

    Raises:
        HttpError: it is none, or as :func:`read_fields`.
    """
    if not isinstance(value, _Pairs):
        message = 'This is not a JSON object such as {"text": "Hello"}.'
        raise HttpError(400, message, "json-not-object")
    return read_fields(JSON, value, readers)


def file_bytes(name: str, value: Any) -> bytes:
    """Read a file of another kind, which may be empty."""
    if not isinstance(value, bytes):
        raise HttpError(400, f"{name} has to be a file; send it as {MULTIPART}.", "file-in-json")
    return value


def one_of(*names: str) -> Reader:
    """Return the reader of one of some names."""

    def read(name: str, value: Any) -> str:
        text = _string(name, value)
        if text not in names:
            message = f"{name} has to be one of {', '.join(names)}."
            raise HttpError(400, message, "field-out-of-range")
        return text

    return read


def line_up_to(characters: int) -> Reader:
    """Return the reader of one line; a blank one becomes None."""
    read_text = text_up_to(characters)

    def read(name: str, value: Any) -> str | None:
        text: str | None = read_text(name, value)
        return None if text is None else " ".join(text.split())

    return read


def text_up_to(characters: int) -> Reader:
    """Return the reader of a text; a blank one, as a form sends for an empty box, becomes None."""

    def read(name: str, value: Any) -> str | None:
        text = _string(name, value)
        if len(text) > characters:
            message = f"The text has {len(text)} characters; the limit is {characters}."
            raise HttpError(413, message, "text-too-long")
        if find_text_fault(text):  # but for its length
            message = "The text has control characters; send plain text."
            raise HttpError(400, message, "text-control-characters")
        return text if text.strip() else None

    return read


def number_between(low: float, high: float) -> Reader:
    """Return the reader of a finite number between two bounds, which are included."""

    def read(name: str, value: Any) -> float:
        if isinstance(value, bytes):
            try:
                value = float(_string(name, value))
            except ValueError:
                value = math.nan
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and low <= value <= high):  # NaN is not between them either
            message = f"{name} has to be a number from {low:g} to {high:g}."
            raise HttpError(400, message, "field-out-of-range")
        return float(value)

    return read


def flag(name: str, value: Any) -> bool:
    """Read true or false."""
    flags = {b"true": True, b"false": False, True: True, False: False}
    if not isinstance(value, bytes | bool) or value not in flags:
        raise HttpError(400, f"{name} has to be true or false.", "field-not-boolean")
    return flags[value]


def _string(name: str, value: Any) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            message = f"The field {name} is not valid UTF-8."
            raise HttpError(400, message, "field-not-utf8") from None
    if not isinstance(value, str):
        raise HttpError(400, f"The field {name} has to be a string.", "field-not-string")
    return value


def _shown(name: str) -> str:
    """Return a name short and printable."""
    return ascii(name if len(name) <= 40 else f"{name[:40]}…")
