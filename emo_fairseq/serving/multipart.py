"""Parse multipart/form-data in memory: no temporary file is ever written."""

from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from emo_fairseq.serving.http_errors import HttpError

_MAX_PARTS = 16  # beside those of rows


def read_parts(content_type: str, body: bytes, n_rows: int = 0) -> list[tuple[str, bytes]]:
    """Parse a multipart/form-data body into names and contents, in order; names may repeat.

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
