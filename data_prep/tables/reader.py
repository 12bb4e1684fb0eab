r"""Read tables row by row: CSV, TSV, Parquet, JSON lines and spreadsheets.

`open_table` opens a file by its suffix, .csv, .tsv, .parquet, .jsonl, .xlsx or .ods (of which see
`data_prep.tables.sheets`); with a delimiter any other one as delimited text. A folder of recordings
is a table too (`data_prep.tables.folders`).

Delimited text, whatever the delimiter:
- Quoting is that of RFC 4180: a cell that begins with a double quote ends with one, may hold
  delimiters and line breaks, and doubles the quotes inside. A quote inside a cell that does not
  begin with one is a quote. Text after a closing quote, a quote that is never closed, and one that
  is closed in a later row, with rows between that are whole (`data_prep.tables.joined_rows`), are
  faults of the row in which the quote was opened. `quotes=False` reads every quote as itself.
- A .tsv with the columns of a manifest, in their order, is one of ours and has no quoting.
- Text is UTF-8, with or without a byte order mark; UTF-16 and UTF-32 are recognized by theirs. A
  row that holds a byte of no UTF-8 is faulty.
- A first line `sep=;`, as Excel writes it, is no row.
- Lines end with \n, \r\n or \r. Empty lines are no rows. Every row has as many cells as the header,
  whose names are neither blank nor repeated; a blank first name, pandas' index, is no column.
- All cells are strings, of any length; `data_prep.manifest.cells` has the rules for texts and ids.

JSON lines: an object a line, no key twice, no NaN. Parquet: numbers, booleans and nulls stay what
they are; lists of numbers come as arrays; Python extension types are refused. In both a string is a
string, and a number none. What is missing is the empty cell, and null; no word means missing.

A row that cannot be read comes with its fault and without cells, and the rows after it are read.
"""

from __future__ import annotations

import codecs
import csv
import importlib
import io
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TextIO

from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.files.documents import parse_json_line
from data_prep.manifest.cells import is_blank, shown
from data_prep.manifest.records import REQUIRED_COLUMNS
from data_prep.tables.joined_rows import JoinedRows

CSV, TSV, PARQUET, JSONL = ".csv", ".tsv", ".parquet", ".jsonl"
SHEETS = (".xlsx", ".ods")
TABLES = (CSV, TSV, PARQUET, JSONL, *SHEETS)
DELIMITERS = {CSV: ",", TSV: "\t"}

_MANIFEST_HEADER = "\t".join(REQUIRED_COLUMNS)
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is the beginning of it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UTF8 = ("utf-8", "utf-8-sig")
_BAD_BYTE = re.compile("[\udc80-\udcff]")  # a byte of no UTF-8, see `_open_text`
# Before the header, by Excel: the delimiter, which is found by itself.
_SEPARATOR_LINE, _LONGEST_SEPARATOR = re.compile(r'"?sep=.?"?\r?\n', re.IGNORECASE), 10
_NO_LIMIT = 2**31 - 1  # the largest that every platform's csv module takes
_LIMIT_LOCK = threading.Lock()
_ROWS_AT_ONCE = 256  # a batch holds the sound of its rows
_PICKLED = b"arrow.py_extension_type"


@dataclass(frozen=True)
class TableFormat:
    """How delimited text is read; Parquet and JSON lines need no options.

    Attributes:
        delimiter: None takes it from the suffix.
        encoding: UTF-8 gives way to a byte order mark of another encoding.
        quotes: whether quotes enclose cells.
        legacy_bytes: whether a line that is not UTF-8 is taken as Latin-1, for text that ftfy
            repairs later.
        header: whether the first row names the columns; else they are "1", "2", ...
        decimal: the decimal separator of numbers that are text: a point or a comma.
        sheet: of a spreadsheet; None is the first one.
        keeps_index: whether a first column without a name, pandas' index, is a column named "".
    """

    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    quotes: bool = True
    legacy_bytes: bool = False
    header: bool = True
    decimal: str = "."
    sheet: str | None = None
    keeps_index: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its number, and its cells by column, or why it cannot be read.

    `number` is the line on which the row begins; of Parquet the row, from 1. A row with a fault
    has the cells that could be read nevertheless; of delimited text none.
    """

    number: int
    cells: Mapping[str, Any]
    fault: Fault | None = None


class Table(Protocol):
    """A table that was opened; its rows can be read more than once."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> Sequence[str]:
        """The names of its columns; of JSON lines all keys of any row."""

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        """Column -> the names of its class numbers, where the file has them."""

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """Iterate over the rows, with at least the wanted columns (default: all)."""


def open_table(path: str | Path, how: TableFormat | None = None) -> Table:
    """Open a table by its suffix.

    Raises:
        ManifestError: no such file, no table, or a header with a blank or repeated name.
    """
    path, how = Path(path), how or TableFormat()
    suffix = path.suffix.lower()
    if is_folder(path):
        from data_prep.tables.folders import open_folder

        return open_folder(path)
    check_readable(path)
    if how.delimiter is None and suffix == PARQUET:
        return _open_parquet(path)
    if how.delimiter is None and suffix == JSONL:
        return JsonLinesTable(path)
    if how.delimiter is None and suffix in SHEETS:
        from data_prep.tables.sheets import SheetTable

        return SheetTable(path, how.sheet, how.header, how.keeps_index)
    delimiter = DELIMITERS.get(suffix) if how.delimiter is None else how.delimiter
    if delimiter is None:
        problem = f"neither {', '.join(TABLES[:-1])} nor {TABLES[-1]}"
        raise ManifestError(Fault(str(path), None, problem, "give --delimiter", "suffix-unknown"))
    return DelimitedTable(path, delimiter, how)


def is_folder(path: Path) -> bool:
    """Return whether a path is a folder; one of a name that is too long is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def check_readable(path: Path) -> None:
    """Raise ManifestError unless it is a file that may be read; a pipe is none."""
    try:
        if not path.is_file():  # a pipe cannot be read twice
            path.stat()
            raise ValueError("is no file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def check_has_rows(*tables: Table) -> None:
    """Raise ManifestError where none of the tables has a row."""
    if not any(next(table.rows(()), None) for table in tables):
        path = tables[0].path
        raise ManifestError(
            Fault(str(path), None, "has no rows", "leave the file out", "rows-missing")
        )


def check_has_columns(table: Table) -> None:
    """Raise ManifestError where the table has no rows, or JSON lines none of which can be read."""
    check_has_rows(table)
    if not table.columns and (fault := next(table.rows()).fault) is not None:
        raise ManifestError(fault)


def require_columns(table: Table, required: Iterable[str]) -> None:
    """Raise ManifestError where the table lacks a column, or has no rows."""
    columns = table.columns
    if not columns:  # of JSON lines none of which can be read
        check_has_columns(table)
    if missing := [name for name in required if name not in columns]:
        problem = f"no column {', '.join(missing)}"
        remedy = f"its columns are {', '.join(map(_name, columns)) or 'none'}"
        raise ManifestError(Fault(str(table.path), 1, problem, remedy, "column-missing"))
    check_has_rows(table)


def read_table(
    path: str | Path, required: Iterable[str] = (), how: TableFormat | None = None
) -> list[tuple[int, dict[str, Any]]]:
    """Read a whole table as (row number, {column: cell}); of delimited text all cells are strings.

    Raises:
        ManifestError: a missing file or column, or rows that cannot be read.
    """
    table = open_table(path, how)
    require_columns(table, required)
    rows = list(table.rows())
    raise_faults([row.fault for row in rows if row.fault is not None])
    return [(row.number, dict(row.cells)) for row in rows]


def is_missing(value: Any) -> bool:
    """Return whether a cell is blank, null, or a number that is NaN."""
    if isinstance(value, str):
        return is_blank(value)
    return value is None or (isinstance(value, float) and math.isnan(value))


def plain(value: Any) -> str:
    """Return the text of a cell; "" for null and NaN.

    Raises:
        ValueError: a list, an object, bytes.

    >>> plain("None"), plain(None), plain(3), plain(float("nan"))
    ('None', '', '3', '')
    """
    if isinstance(value, str):
        return value
    if is_missing(value):
        return ""
    if isinstance(value, bytes | bytearray | memoryview | Mapping) or hasattr(value, "__len__"):
        raise ValueError(f"holds {_kind(value)}, not one plain value")
    return str(value)


def text_cell(value: Any) -> str:
    """Return a cell that must be text; "" for null.

    Raises:
        ValueError: a number, a truth value, a list, an object, bytes.
    """
    if value is not None and not isinstance(value, str) and plain(value):
        raise ValueError(f"holds {value!r}, {_kind(value)} and no text")
    return plain(value)


def class_name(table: Table, column: str, value: Any) -> Any:
    """Return the name of a class number, if the table has names for the column; else the value.

    Raises:
        ValueError: a number without a name.
    """
    names = table.class_names.get(column)
    if names is None or not isinstance(value, int):
        return value
    if value >= len(names):
        raise ValueError(f"{column} is {value}, but its names are {', '.join(names)}")
    return names[value] if value >= 0 else ""  # -1: `datasets` has no label


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a truth value"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, bytes | bytearray | memoryview):
        return "bytes"
    return "an object" if isinstance(value, Mapping) else "a list"


def _unreadable(path: Path, error: Exception) -> ManifestError:
    reason = getattr(error, "strerror", None) or str(error)
    return ManifestError(
        Fault(str(path), None, reason, "name an existing table", "table-unreadable")
    )


def _name(column: str) -> str:
    return column if column.isprintable() and column.strip() else shown(column)


# -- delimited text --------------------------------------------------------------------------------


class DelimitedTable:
    """CSV, TSV and the like; all cells are strings."""

    class_names: Mapping[str, Sequence[str]] = {}

    def __init__(self, path: Path, delimiter: str, how: TableFormat) -> None:
        self.path = path
        self._how = how
        self._encoding = _encoding_of(path, how.encoding)
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
        if self._how.legacy_bytes and self._encoding in _UTF8:
            text = "\n".join(map(_decode_line, self.path.read_bytes().split(b"\n")))
            return io.StringIO(text, newline="")
        return _open_text(self.path, self._encoding)

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
                bad = _has_bad_byte("".join(cells))
                fault = _encoding_fault(self.path, number, "UTF-8") if bad else None
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


_OF_QUOTES = "double the quotes inside a quoted cell, or read quotes as they are: --no-quotes"


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


def _encoding_of(path: Path, encoding: str) -> str:
    """Return the given encoding, or that of the byte order mark."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        problem, remedy = f"unknown encoding {encoding!r}", "name one such as utf-8 or cp1252"
        fault = Fault(str(path), None, problem, remedy, "encoding-unknown")
        raise ManifestError(fault) from None
    if name not in _UTF8:
        return name
    try:
        with path.open("rb") as file:
            begin = file.read(4)
    except OSError as error:
        raise _unreadable(path, error) from None
    marked = (other for mark, other in _BOMS.items() if begin.startswith(mark))
    return next(marked, "utf-8-sig")


def _open_text(path: Path, encoding: str) -> TextIO:
    """Open the text of a file, with unchanged line ends.

    A byte that is not UTF-8 is read as a lone surrogate, which no UTF-8 has (`_has_bad_byte`). Of
    other encodings the whole is decoded first: raises ManifestError where that fails.
    """
    if encoding in _UTF8:
        return path.open(encoding=encoding, errors="surrogateescape", newline="")
    raw = path.read_bytes()
    try:
        return io.StringIO(raw.decode(encoding), newline="")
    except UnicodeDecodeError as error:
        row = 1 + raw[: error.start].decode(encoding, errors="ignore").count("\n")
        raise ManifestError(_encoding_fault(path, row, encoding)) from None


def _encoding_fault(path: Path, number: int, encoding: str) -> Fault:
    remedy = "save the table as UTF-8, or name its encoding"
    return Fault(str(path), number, f"not {encoding} text", remedy, "encoding-invalid")


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _has_bad_byte(text: str) -> bool:
    return not text.isascii() and _BAD_BYTE.search(text) is not None


def check_header(path: Path, header: Sequence[str], keeps_index: bool = False) -> list[str]:
    """Return the names of the columns. Raises ManifestError for a blank or repeated one."""
    has_index = len(header) > 1 and not header[0].strip()
    columns = list(header[1:] if has_index and not keeps_index else header)
    blank = [str(n) for n, name in enumerate(header, start=1) if not name.strip() and n > 1]
    if blank or (columns and not columns[0].strip() and not has_index):
        problem = f"column {', '.join(blank) or '1'} of the header has no name"
        remedy = "name it, or remove the column"
        raise ManifestError(Fault(str(path), 1, problem, remedy, "column-unnamed"))
    if doubled := [name for name, count in Counter(columns).items() if count > 1]:
        problem = f"column {', '.join(map(_name, doubled))} twice"
        raise ManifestError(Fault(str(path), 1, problem, "rename one", "column-repeated"))
    return columns


# -- JSON lines ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JsonLinesTable:
    """An object a line."""

    path: Path

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        return {}

    @cached_property
    def columns(self) -> Sequence[str]:
        return list(dict.fromkeys(key for row in self.rows() for key in row.cells))

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        with _open_text(self.path, _encoding_of(self.path, "utf-8")) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield self._row(number, line)

    def _row(self, number: int, line: str) -> Row:
        if _has_bad_byte(line):
            return Row(number, {}, _encoding_fault(self.path, number, "UTF-8"))
        try:
            return Row(number, _parse_object(line))
        except ValueError as error:
            detail = str(error)
        remedy = 'write an object a line, such as {"id": "a", "text": null} of a missing text'
        return Row(number, {}, Fault(str(self.path), number, detail, remedy, "json-invalid"))


def _parse_object(line: str) -> dict[str, Any]:
    value = parse_json_line(line.strip())
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value


# -- Parquet ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file, read a batch at a time; lists of numbers come as arrays."""

    path: Path
    columns: Sequence[str]
    class_names: Mapping[str, Sequence[str]]

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        number = 0
        columns = [name for name in self.columns if wanted is None or name in wanted]
        batches = _parquet_file(self.path).iter_batches(_ROWS_AT_ONCE, columns=columns)
        while (batch := self._next_batch(batches, number + 1)) is not None:
            cells = [_cell_readers(batch.column(name)) for name in columns]
            for index in range(batch.num_rows):
                number += 1
                yield self._row(number, columns, [read(index) for read in cells])

    def _next_batch(self, batches: Iterator[Any], number: int) -> Any:
        try:
            return next(batches, None)
        except (OSError, ValueError) as error:
            detail = f"cannot be read from here on ({' '.join(str(error).split())})"
            fault = Fault(str(self.path), number, detail, "export it again", "parquet-invalid")
            raise ManifestError(fault) from None

    def _row(self, number: int, columns: Sequence[str], values: Sequence[Any]) -> Row:
        for name, value in zip(columns, values, strict=True):
            if isinstance(value, UnicodeError):
                detail = f"{_name(name)} is not UTF-8 text"
                remedy = "export it again"
                fault = Fault(str(self.path), number, detail, remedy, "encoding-invalid")
                return Row(number, {}, fault)
        return Row(number, dict(zip(columns, values, strict=True)))


def _open_parquet(path: Path) -> ParquetTable:
    schema = _parquet_file(path).schema_arrow
    pickled = [
        field.name
        for field in schema
        if (field.metadata or {}).get(b"ARROW:extension:name") == _PICKLED
    ]
    if pickled:
        detail = f"column {', '.join(map(_name, pickled))} is of a type that Python pickled"
        remedy = "export it as a plain type"
        raise ManifestError(Fault(str(path), None, detail, remedy, "column-pickled"))
    columns = check_header(path, schema.names)
    return ParquetTable(path, columns, _class_names(schema))


def _parquet_file(path: Path) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        message = f"{path}: Parquet needs pyarrow; `pip install pyarrow`"
        raise CodedError(message, "package-missing") from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError, KeyError) as error:
        detail = f"no Parquet file ({' '.join(str(error).split())})"
        fault = Fault(str(path), None, detail, "export it again", "parquet-invalid")
        raise ManifestError(fault) from None


def _cell_readers(column: Any) -> Callable[[int], Any]:
    """Return a reader of a row in the batch; lists as arrays, which need a tenth of the memory."""
    if "list" in str(column.type).partition("<")[0]:
        return lambda index: _array(column[index]) if column[index].is_valid else None
    try:
        values = column.to_pylist()
    except UnicodeError:
        return lambda index: _value_or_error(column[index])
    return lambda index: values[index]


def _value_or_error(cell: Any) -> Any:
    try:
        return cell.as_py()
    except UnicodeError as error:
        return error


def _array(cell: Any) -> Any:
    values = cell.values
    kind = str(values.type).partition("<")[0]
    if "list" in kind:
        return [_array(row) for row in values]
    if kind == "struct":  # of which NumPy would keep arrays of arrays
        return values.to_pylist()
    return values.to_numpy(zero_copy_only=False)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """Read the names of ClassLabel columns, which `datasets` stores in a Parquet file."""
    try:
        text = (schema.metadata or {}).get(b"huggingface", b"{}").decode()
        content: Any = parse_json_line(text)
        features = content.get("info", {}).get("features", {})
        return {name: list(kind["names"]) for name, kind in features.items() if "names" in kind}
    except (ValueError, AttributeError, TypeError):
        return {}
