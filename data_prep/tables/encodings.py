"""Encodings of text files: byte order marks, bytes that are not UTF-8, legacy encodings."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import TextIO

from data_prep.errors import Fault, ManifestError
from data_prep.tables.table import unreadable

UTF8 = ("utf-8", "utf-8-sig")
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is the beginning of it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BAD_BYTE = re.compile("[\udc80-\udcff]")  # a byte that is not UTF-8, see `open_text`


def encoding_of(path: Path, encoding: str) -> str:
    """Return the given encoding, or that of the byte order mark."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        problem, remedy = f"unknown encoding {encoding!r}", "name one such as utf-8 or cp1252"
        fault = Fault(str(path), None, problem, remedy, "encoding-unknown")
        raise ManifestError(fault) from None
    if name not in UTF8:
        return name
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise unreadable(path, error) from None
    marked = (other for mark, other in _BOMS.items() if begin.startswith(mark))
    return next(marked, "utf-8-sig")


def open_text(path: Path, encoding: str) -> TextIO:
    """Open the text of a file, with unchanged line ends.

    A byte that is not UTF-8 is read as a lone surrogate, which no UTF-8 has (`has_bad_byte`). Of
    other encodings the whole is decoded first: raises ManifestError where that fails.
    """
    if encoding in UTF8:
        return path.open(encoding=encoding, errors="surrogateescape", newline="")
    raw = path.read_bytes()
    try:
        return io.StringIO(raw.decode(encoding), newline="")
    except UnicodeDecodeError as error:
        row = 1 + raw[: error.start].decode(encoding, errors="ignore").count("\n")
        raise ManifestError(encoding_fault(path, row, encoding)) from None


def encoding_fault(path: Path, number: int, encoding: str) -> Fault:
    """Return the fault of a row that is not text of an encoding."""
    remedy = "save the table as UTF-8, or name its encoding"
    return Fault(str(path), number, f"not {encoding} text", remedy, "encoding-invalid")


def has_bad_byte(text: str) -> bool:
    """Return whether `open_text` has read a byte that is not UTF-8."""
    return not text.isascii() and _BAD_BYTE.search(text) is not None
