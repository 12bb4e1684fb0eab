"""Read the body of a request: its bytes while they arrive, its parts, and its fields."""

import asyncio
import base64
import binascii
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from data_prep.manifest.cells import find_text_fault
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits

JSON, MULTIPART = "application/json", "multipart/form-data"

_JSON_BYTES_A_CHARACTER = 12  # \ud83d\ude00, the longest way to write one
_JSON_FIELDS_BYTES = 4096
_JSON_MARKS = b"{[,"  # one at least for each value, and none in base64
_JSON_ROW_MARKS = 16  # of a row, beside those of its text
_MAX_PARTS = 16  # beside those of rows

# -- bytes, counted while they arrive: the declared length is only a first hint --------------------


def body_limit(request: Request, limits: Limits, is_text: bool) -> int:
    """Return the declared length of a body in bytes, or the limit where none is declared.

    Args:
        request: whose body has not been read.
        limits: of the server.
        is_text: whether the body holds a text and no audio.

    Raises:
        HttpError: Content-Length is above the limit, or not a number.
    """
    limit = limits.upload_bytes
    if is_text:
        limit = min(limit, limits.text_characters * _JSON_BYTES_A_CHARACTER + _JSON_FIELDS_BYTES)
    declared = request.headers.get("content-length")
    if declared is None:
        return limit
    if not declared.isascii() or not declared.isdigit():
        message = "The Content-Length of the request is not a number."
        raise HttpError(400, message, "content-length-invalid", close=True)
    if len(declared) > 18 or int(declared) > limit:  # so many digits would be slow to parse
        raise _too_large(limit)
    return int(declared)


async def read_body(request: Request, limit: int, limits: Limits) -> bytes:
    """Read a whole body into memory.

    Args:
        request: whose body has not been read.
        limit: bytes, see :func:`body_limit`.
        limits: times and rates.

    Raises:
        HttpError: longer than the limit; slower than the limits; or the client has disconnected.
    """
    try:
        async with asyncio.timeout(min(limits.body_grace_seconds, limits.body_seconds)) as deadline:
            return await _collect(request, limit, limits, deadline)
    except TimeoutError:
        message = (
            f"The request did not arrive in time: it needs at least "
            f"{limits.body_bytes_per_second / 1e3:g} kB a second, and at most "
            f"{limits.body_seconds:g} seconds in all."
        )
        raise HttpError(408, message, "body-timeout", close=True) from None
    except ClientDisconnect:
        message = "The client closed the connection within the body."
        raise HttpError(400, message, "client-disconnected", close=True) from None


async def _collect(
    request: Request, limit: int, limits: Limits, deadline: asyncio.Timeout
) -> bytes:
    body = bytearray()
    start = asyncio.get_running_loop().time()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
        allowed = limits.body_grace_seconds + len(body) / limits.body_bytes_per_second
        deadline.reschedule(start + min(allowed, limits.body_seconds))
    return bytes(body)


def _too_large(limit: int) -> HttpError:
    size = f"{limit / 1e6:.3g} MB" if limit >= 1e6 else f"{limit / 1e3:.3g} kB"
    message = f"The request is larger than {size}, the limit."
    return HttpError(413, message, "body-too-large", close=True)


# -- multipart/form-data, parsed in memory: no temporary file is ever written ----------------------


def read_parts(content_type: str, body: bytes, n_rows: int = 0) -> list[tuple[str, bytes]]:
    """Parse a multipart/form-data body into names and contents, in order; names may repeat.

    Args:
        content_type: with the boundary.
        body: whole.
        n_rows: that it may have, each a recording and a text.

    Raises:
        HttpError: no boundary, a part without a name, too many parts, or a body that is not
            multipart/form-data from its first boundary to its last.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _malformed("its Content-Type has no boundary")
    parts = _Parts(_MAX_PARTS + 2 * n_rows)
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _malformed(str(error)) from None
    if not parts.complete:
        raise _malformed("it ends before its last boundary")
    return [(name, bytes(content)) for name, content in parts.parts]


@dataclass
class _Parts:
    """Collects parts by the callbacks of the parser."""

    most: int
    parts: list[tuple[str, bytearray]] = field(default_factory=list)
    complete: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": lambda data, start, end: self.parts[-1][1].extend(data[start:end]),
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""
        if len(self.parts) == self.most:
            raise _malformed(f"it has more than {self.most} parts")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("a part has no name (Content-Disposition: form-data; name=...)")
        self.parts.append((options[b"name"].decode("utf-8", "replace"), bytearray()))

    def _end(self) -> None:
        self.complete = True


def _malformed(reason: str) -> HttpError:
    message = f"The request is not well-formed multipart/form-data: {reason}."
    return HttpError(400, message, "multipart-invalid")


# -- fields, of multipart/form-data or of JSON, each validated by a reader -------------------------

Reader = Callable[[str, Any], Any]  # name, value (bytes of a form) -> value; may raise an HttpError


def media_type(content_type: str) -> str:
    """Return the media type of a body, `JSON` or `MULTIPART`.

    Raises:
        HttpError: another one, or none.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, MULTIPART):
        message = f"Send {MULTIPART}, or {JSON} with a text."
        raise HttpError(415, message, "media-type-unsupported", close=True)
    return kind


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
