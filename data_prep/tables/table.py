"""A table that was opened: its rows, which may be faulty, and how delimited text is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data_prep.errors import Fault, ManifestError
from data_prep.manifest.cells import shown


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
        problem = f"column {', '.join(map(column_label, doubled))} twice"
        raise ManifestError(Fault(str(path), 1, problem, "rename one", "column-repeated"))
    return columns


def column_label(column: str) -> str:
    """Return the name of a column for messages."""
    return column if column.isprintable() and column.strip() else shown(column)


def unreadable(path: Path, error: Exception) -> ManifestError:
    """Return the error of a table that cannot be opened."""
    reason = getattr(error, "strerror", None) or str(error)
    return ManifestError(
        Fault(str(path), None, reason, "name an existing table", "table-unreadable")
    )
