"""Read tables row by row: CSV, TSV, Parquet, JSON lines and spreadsheets.

`open_table` opens a file by its suffix, of :data:`TABLES`; with a delimiter any other one as
delimited text. A folder of recordings is a table too (`data_prep.tables.folders`). Each format has
a module: `delimited`, `json_lines`, `parquet`, `sheets`.

What is missing is the empty cell, and null; no word means missing. A row that cannot be read comes
with its fault and without cells, and the rows after it are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import Fault, ManifestError, raise_faults
from data_prep.files import lfs_pointers
from data_prep.tables.delimited import DelimitedTable
from data_prep.tables.folders import open_folder
from data_prep.tables.json_lines import JsonLinesTable
from data_prep.tables.parquet import open_parquet
from data_prep.tables.table import Table, TableFormat, column_label, unreadable

CSV, TSV, PARQUET, JSONL = ".csv", ".tsv", ".parquet", ".jsonl"
SHEETS = (".xlsx", ".ods")
TABLES = (CSV, TSV, PARQUET, JSONL, *SHEETS)
DELIMITERS = {CSV: ",", TSV: "\t"}


def _open_sheet(path: Path, how: TableFormat) -> Table:
    from data_prep.tables.sheets import SheetTable

    return SheetTable(path, how.sheet, how.header, how.keeps_index)


# Suffix -> what opens such a file, where no delimiter is given; others are delimited text.
_OPENERS: Mapping[str, Callable[[Path, TableFormat], Table]] = {
    PARQUET: lambda path, how: open_parquet(path),
    JSONL: lambda path, how: JsonLinesTable(path),
    **dict.fromkeys(SHEETS, _open_sheet),
}


def open_table(path: str | Path, how: TableFormat | None = None) -> Table:
    """Open a table by its suffix.

    Raises:
        ManifestError: no such file, no table, or a header with a blank or repeated name.
    """
    path, how = Path(path), how or TableFormat()
    if is_folder(path):
        return open_folder(path, open_table)
    check_readable(path)
    suffix = path.suffix.lower()
    if how.delimiter is None and suffix in _OPENERS:
        return _OPENERS[suffix](path, how)
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
    """Raise ManifestError unless it is a file that may be read; a pipe is none.

    A pointer of Git LFS in its place is refused, too.
    """
    try:
        if not path.is_file():  # a pipe cannot be read twice
            path.stat()
            raise ValueError("is no file")
        with path.open("rb") as file:
            head = file.read(lfs_pointers.N_BYTES)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if lfs_pointers.is_lfs_pointer(head):
        problem, remedy = lfs_pointers.PROBLEM, lfs_pointers.REMEDY
        raise ManifestError(Fault(str(path), None, problem, remedy, "table-unreadable"))


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
        remedy = f"its columns are {', '.join(map(column_label, columns)) or 'none'}"
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
