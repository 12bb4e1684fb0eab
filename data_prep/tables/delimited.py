r"""Delimited text, such as CSV and TSV.

Whatever the delimiter:
- Quoting is that of RFC 4180: a cell that begins with a double quote ends with one, may hold
  delimiters and line breaks, and doubles the quotes inside. A quote inside a cell that does not
  begin with one is a quote. Text after a closing quote, a quote that is never closed, and one that
  is closed in a later row, with rows between that are whole (`data_prep.tables.joined_rows`), are
  faults of the row in which the quote was opened. `quotes=False` reads every quote as itself.
- A .tsv with the columns of a manifest, in their order, is one of ours and has no quoting.
- Text is UTF-8, with or without a byte order mark; UTF-16 and UTF-32 are recognized by theirs. A
  row with a byte that is not UTF-8 is faulty.
- A first line `sep=;`, as Excel writes it, is no row.
- Lines end with \n, \r\n or \r. Empty lines are no rows. Every row has as many cells as the header,
  whose names are neither blank nor repeated; a blank first name, pandas' index, is no column.
- All cells are strings, of any length; `data_prep.manifest.cells` has the rules for texts and ids.
"""

from __future__ import annotations

import csv
import io
import re
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TextIO

from data_prep.errors import Fault, ManifestError
from data_prep.schema import REQUIRED_COLUMNS
from data_prep.tables.encodings import (
    UTF8,
    encoding_fault,
    encoding_of,
    has_bad_byte,
    open_text,
)
from data_prep.tables.joined_rows import JoinedRows
from data_prep.tables.table import Row, TableFormat, check_header

_MANIFEST_HEADER = "\t".join(REQUIRED_COLUMNS)
# Before the header, by Excel: the delimiter, which is found by itself.
_SEPARATOR_LINE, _LONGEST_SEPARATOR = re.compile(r'"?sep=.?"?\r?\n', re.IGNORECASE), 10
_OF_QUOTES = "double the quotes inside a quoted cell, or read quotes as they are: --no-quotes"
_NO_LIMIT = 2**31 - 1  # the largest that every platform's csv module takes
_LIMIT_LOCK = threading.Lock()


class DelimitedTable:
    """CSV, TSV and the like; all cells are strings."""

    class_names: Mapping[str, Sequence[str]] = {}

    def __init__(self, path: Path, delimiter: str, how: TableFormat) -> None:
        self.path = path
        self._how = how
        self._encoding = encoding_of(path, how.encoding)
        if len(delimiter) != 1 or delimiter in '\r\n"':
            problem = f"the delimiter is {delimiter!r}"
            remedy = "give one character, or 'tab'"
            raise ManifestError(Fault(str(path), None, problem, remedy, "delimiter-invalid"))
        self._delimiter = delimiter
        with self._reader() as records:
            first = next(records, None)
        if first is not None and first.fault is not None:
            raise ManifestError(first.fault)
        self._header: list[str] = [] if first is None else first.cells
        if not how.header:
            self._header = [str(number) for number, _ in enumerate(self._header, start=1)]
        self.columns: Sequence[str] = check_header(path, self._header, how.keeps_index)

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        skipped = len(self._header) - len(self.columns)
        with self._reader() as records:
            if self._how.header:
                next(records, None)
            for record in records:
                fault = record.fault or self._width_fault(record) or self._joined_fault(record)
                values = [] if fault else record.cells[skipped:]
                yield Row(record.number, dict(zip(self.columns, values, strict=False)), fault)

    def _width_fault(self, record: _Record) -> Fault | None:
        if len(record.cells) == len(self._header):
            return None
        detail = f"{len(record.cells)} fields where the header has {len(self._header)}"
        return self._fault(
            record.number, detail, "quote fields that hold the delimiter", "row-width"
        )

    def _joined_fault(self, record: _Record) -> Fault | None:
        if len(record.lines) < 2 or not self._joined_rows.are_joined(record.cells, record.lines):
            return None
        last = record.number + len(record.lines) - 1
        problem = f"a quote is opened here and closed in row {last}, and each of these is a row"
        return self._fault(record.number, problem, _OF_QUOTES, "quote-invalid")

    @cached_property
    def _joined_rows(self) -> JoinedRows:
        records = islice(self.records(), bool(self._how.header), None)
        rows = (record.cells for record in records if record.fault is None and not record.lines)
        return JoinedRows.of(rows, len(self._header), self._delimiter)

    def records(self) -> Iterator[_Record]:
        """Iterate over all records, the header's too, of any number of cells."""
        with self._reader() as records:
            yield from records

    @contextmanager
    def _reader(self) -> Iterator[Iterator[_Record]]:
        with self._open() as lines:
            yield self._records(lines)

    def _open(self) -> TextIO:
        if self._how.legacy_bytes and self._encoding in UTF8:
            text = "\n".join(map(_decode_line, self.path.read_bytes().split(b"\n")))
            return io.StringIO(text, newline="")
        return open_text(self.path, self._encoding)

    def _records(self, lines: TextIO) -> Iterator[_Record]:
        is_manifest = self._delimiter == "\t" and _begins_like_a_manifest(lines)
        is_quoted = self._how.quotes and not is_manifest
        dialect = _Quoted if is_quoted else _Unquoted
        lines.seek(0)
        n_skipped = int(_SEPARATOR_LINE.fullmatch(lines.readline(_LONGEST_SEPARATOR)) is not None)
        if not n_skipped:
            lines.seek(0)
        remembered = _Lines(lines)
        reader = csv.reader(remembered, dialect, delimiter=self._delimiter)
        while True:
            number = reader.line_num + 1 + n_skipped
            remembered.since.clear()
            try:
                cells = _next_record(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last = reader.line_num + n_skipped
                yield _Record(number, [], self._quote_fault(number, last, error))
                continue
            if cells:
                bad = has_bad_byte("".join(cells))
                fault = encoding_fault(self.path, number, "UTF-8") if bad else None
                several = tuple(remembered.since) if len(remembered.since) > 1 else ()
                yield _Record(number, [] if bad else cells, fault, several)

    def _quote_fault(self, number: int, last: int, error: csv.Error) -> Fault:
        remedy = _OF_QUOTES
        through = f", up to row {last}" if last > number else ""
        if "end of data" in str(error):
            detail = f"a quote is opened here and never closed{through}"
            return self._fault(number, detail, f"close it; {remedy}", "quote-invalid")
        if "expected after" in str(error):
            problem = f"there is text after a closing quote{through}"
            return self._fault(number, problem, remedy, "quote-invalid")
        return self._fault(number, f"not a proper table ({error})", remedy, "quote-invalid")

    def _fault(self, number: int, problem: str, remedy: str, code: str) -> Fault:
        return Fault(str(self.path), number, problem, remedy, code)


class _Quoted(csv.excel):
    strict = True


class _Unquoted(csv.excel):
    quoting = csv.QUOTE_NONE


@dataclass(frozen=True, slots=True)
class _Record:
    """The cells of one record, or why there are none; its lines if there are several."""

    number: int
    cells: list[str]
    fault: Fault | None
    lines: tuple[str, ...] = ()


class _Lines(Iterator[str]):
    """The lines of a text; `since` are those that were taken since it was last cleared."""

    def __init__(self, lines: TextIO) -> None:
        self._lines = lines
        self.since: list[str] = []

    def __next__(self) -> str:
        line = next(self._lines)
        self.since.append(line)
        return line


def _next_record(reader: Iterator[list[str]]) -> list[str]:
    """Return the next record, with cells of any length.

    csv has one limit for the whole process. It is raised for this record alone, so that other
    readers in the process keep theirs.
    """
    with _LIMIT_LOCK:
        limit = csv.field_size_limit(_NO_LIMIT)
        try:
            return next(reader)
        finally:
            csv.field_size_limit(limit)


def _begins_like_a_manifest(lines: TextIO) -> bool:
    line = lines.readline(len(_MANIFEST_HEADER) + 1)
    return line.startswith(_MANIFEST_HEADER) and line[len(_MANIFEST_HEADER) :] in (
        "",
        "\t",
        "\n",
        "\r",
    )


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")
