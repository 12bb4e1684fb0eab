"""Read the body of a request: its bytes while they arrive, its parts, and its fields."""

import asyncio
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from data_prep.manifest.cells import find_text_fault
from emo_fairseq.serving.http_errors import RefusalError
from emo_fairseq.serving.limits import Limits

_JSON_BYTES_A_CHARACTER = 12  # \ud83d\ude00, the longest way to write one
_JSON_FIELDS = 4096


def body_limit(request: Request, limits: Limits, is_json: bool) -> int:
    """The bytes that the body of a request has by its header, or may have where that is missing.

    Raises:
        RefusalError: Content-Length is above the limit, or no number.
    """
    limit = limits.upload_bytes
    if is_json:  # holds a text and no audio
        limit = min(limit, limits.text_characters * _JSON_BYTES_A_CHARACTER + _JSON_FIELDS)
    declared = request.headers.get("content-length")
    if declared is None:
        return limit
    if not declared.isascii() or not declared.isdigit():
        raise RefusalError(400, "The Content-Length of the request is not a number.", hang_up=True)
    if len(declared) > 18 or int(declared) > limit:  # so many digits would be slow to read
        raise _too_large(limit)
    return int(declared)


async def read_body(request: Request, limit: int, limits: Limits) -> bytes:
    """All of it, in memory.

    Args:
        request: whose body has not been read.
        limit: bytes, see :func:`body_limit`.
        limits: times and rates.

    Raises:
        RefusalError: longer than the limit; slower than the limits; or the client is gone.
    """
    try:
        async with asyncio.timeout(min(limits.body_grace_seconds, limits.body_seconds)) as deadline:
            return await _collect(request, limit, limits, deadline)
    except TimeoutError:
        sentence = (
            f"The request did not arrive in time: at least {limits.body_bytes_per_second / 1e3:g} "
            f"kB a second are taken, and at most {limits.body_seconds:g} seconds."
        )
        raise RefusalError(408, sentence, hang_up=True) from None
    except ClientDisconnect:
        raise RefusalError(400, "The request broke off.", hang_up=True) from None


async def _collect(
    request: Request, limit: int, limits: Limits, deadline: asyncio.Timeout
) -> bytes:
    body = bytearray()
    start = asyncio.get_running_loop().time()
    async for piece in request.stream():
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        body += piece
        allowed = limits.body_grace_seconds + len(body) / limits.body_bytes_per_second
        deadline.reschedule(start + min(allowed, limits.body_seconds))
    return bytes(body)


def _too_large(limit: int) -> RefusalError:
    size = f"{limit / 1e6:.3g} MB" if limit >= 1e6 else f"{limit / 1e3:.3g} kB"
    return RefusalError(
        413, f"This is more than {size}, the most one request may be.", hang_up=True
    )


# -- A multipart/form-data body as its parts, read in memory: no temporary file is ever written

_PARTS = 16


def read_parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Names and contents, in order; a name may come twice.

    Raises:
        RefusalError: no boundary, a part without a name, too many parts, or a body that is not
            multipart/form-data from its first boundary to its last.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise _malformed("its Content-Type names no boundary")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise _malformed(str(error)) from None
    if not parts.complete:
        raise _malformed("it ends before its last boundary")
    return [(name, bytes(content)) for name, content in parts.found]


@dataclass
class _Parts:
    """What the parser's callbacks collect."""

    found: list[tuple[str, bytearray]] = field(default_factory=list)
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
            "on_part_data": lambda data, start, end: self.found[-1][1].extend(data[start:end]),
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._disposition = b""
        if len(self.found) == _PARTS:
            raise _malformed(f"it has more than {_PARTS} parts")

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        kind, options = parse_options_header(self._disposition)
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("a part has no name (Content-Disposition: form-data; name=...)")
        self.found.append((options[b"name"].decode("utf-8", "replace"), bytearray()))

    def _end(self) -> None:
        self.complete = True


def _malformed(reason: str) -> RefusalError:
    return RefusalError(400, f"The request is not well-formed multipart/form-data: {reason}.")


# -- The fields of a request, from multipart/form-data or from JSON, each read as what it must be

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
