"""Tables in spreadsheets, .xlsx and .ods, by pandas: a sheet whose first row is its header.

Cells keep their kind, as those of Parquet do: a number is no text, and an empty cell is missing.
Refused is what would lose values or change them without a word: merged cells, of which all but one
are empty; formulas that no program has computed; values that are errors, such as #N/A; dates in a
column that is read, which spreadsheets also make of texts such as 1-2.
"""

from __future__ import annotations

import datetime
import importlib
import io
import math
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.messages import one_line
from data_prep.tables.table import Row, check_header

XLSX, ODS = ".xlsx", ".ods"
ENGINES = {XLSX: "openpyxl", ODS: "odf"}
_MOST_BYTES = 1 << 28  # of the unpacked XML
_MERGED = (b"<mergeCell ", b"table:covered-table-cell")
_NO_SHEET = "no spreadsheet"
# What pandas and the packages below it raise of files that are damaged.
_DAMAGED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    SyntaxError,  # ElementTree's
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class SheetTable:
    """One sheet of a spreadsheet."""

    class_names: Mapping[str, Sequence[str]] = {}

    def __init__(
        self,
        path: Path,
        sheet: str | None,
        has_header: bool = True,
        keeps_index: bool = False,
    ) -> None:
        self.path = path
        self._has_header = has_header
        self._sheet = sheet
        rows = self._rows
        if not rows:
            problem, remedy = "holds no cell", "write a row of column names, and a row each"
            raise ManifestError(Fault(str(path), None, problem, remedy, "rows-missing"))
        width = max(map(len, (cells for _, cells in rows)))
        if has_header:
            header = [str(cell) for cell in rows[0][1]]
            used = [n for n in range(width) if any(len(c) > n and c[n] != "" for _, c in rows)]
            self._used = used
            self.columns: Sequence[str] = check_header(path, [header[n] for n in used], keeps_index)
            self._used = used[len(used) - len(self.columns) :]  # without pandas' index
        else:
            self._used = list(range(width))
            self.columns = [str(n + 1) for n in self._used]

    @property
    def sheet_names(self) -> list[str]:
        """The names of the sheets, in their order."""
        return list(self._book[1])

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        for number, cells in self._rows[self._has_header :]:
            named = {name: cells[n] for name, n in zip(self.columns, self._used, strict=True)}
            read = [name for name in self.columns if wanted is None or name in wanted]
            faults = {name: f for name in read if (f := self._fault(number, name, named[name]))}
            good = {k: _plain_time(v) for k, v in named.items() if k not in faults}
            yield Row(number, good, next(iter(faults.values()), None))

    def _fault(self, number: int, column: str, value: Any) -> Fault | None:
        if isinstance(value, float) and not math.isfinite(value):
            problem = f"column {column} holds an error, such as #N/A"
            return Fault(str(self.path), number, problem, "correct the cell", "cell-invalid")
        if isinstance(value, datetime.datetime | datetime.date):
            problem = f"column {column} holds the date {value}"
            remedy = "format the column as text, write its values again, or leave it out"
            return Fault(str(self.path), number, problem, remedy, "cell-invalid")
        return None

    @cached_property
    def _rows(self) -> list[tuple[int, list[Any]]]:
        """The rows that are not blank, with their numbers."""
        return self._book[0]

    @cached_property
    def _book(self) -> tuple[list[tuple[int, list[Any]]], list[str]]:
        engine = ENGINES[self.path.suffix.lower()]
        for package in ("pandas", "openpyxl" if engine == "openpyxl" else "odf"):
            try:
                importlib.import_module(package)
            except ImportError:
                raise CodedError(
                    f"{self.path}: reading spreadsheets needs the extra excel; run "
                    "`pip install emo_fairseq[excel]`, or save the sheet as CSV",
                    "package-missing",
                ) from None
        raw = self.path.read_bytes()
        self._refuse_hidden_values(raw)
        return self._read(raw, engine)

    def _read(self, raw: bytes, engine: str) -> tuple[list[tuple[int, list[Any]]], list[str]]:
        import pandas as pd

        try:
            with pd.ExcelFile(io.BytesIO(raw), engine=engine) as book:
                names = [str(name) for name in book.sheet_names]
                self._check_sheet(names)
                sheet = names[0] if self._sheet is None else self._sheet
                frame = pd.read_excel(
                    book, sheet_name=sheet, header=None, dtype=object, na_filter=False
                )
        except CodedError:
            raise
        except _DAMAGED as error:
            raise self._damaged(error) from None
        rows = [(n, list(row)) for n, row in enumerate(frame.itertuples(index=False), start=1)]
        return [(n, cells) for n, cells in rows if any(cell != "" for cell in cells)], names

    def _check_sheet(self, names: Sequence[str]) -> None:
        if self._sheet is not None and self._sheet not in names:
            problem = f"has no sheet {self._sheet!r}"
            remedy = f"give one of {', '.join(names)} with --sheet"
            raise ManifestError(Fault(str(self.path), None, problem, remedy, "sheet-unknown"))

    def _refuse_hidden_values(self, raw: bytes) -> None:
        """Raise ManifestError for merged cells and formulas without a value."""
        try:
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                if sum(part.file_size for part in archive.infolist()) > _MOST_BYTES:
                    raise ValueError("it unpacks to more than 256 MiB")
                parts = [
                    n for n in archive.namelist() if re.search(r"sheet\d+\.xml$|content\.xml", n)
                ]
                contents = [archive.read(name) for name in parts]
        except _DAMAGED as error:
            raise self._damaged(error) from None
        problem, remedy = "", ""
        if any(mark in content for content in contents for mark in _MERGED):
            problem = "has merged cells"
            remedy = "unmerge them and fill in every cell, or save the sheet as CSV"
        elif any(_NO_VALUE.search(content) for content in contents):
            problem = "has formulas that were never computed"
            remedy = "open and save it in a spreadsheet program, or save it as CSV"
        if problem:
            raise ManifestError(Fault(str(self.path), None, problem, remedy, "sheet-incomplete"))

    def _damaged(self, error: Exception) -> ManifestError:
        problem = f"{_NO_SHEET} ({one_line(str(error)) or type(error).__name__})"
        return ManifestError(Fault(str(self.path), None, problem, "save it again", "sheet-invalid"))


# A cell of .xlsx with a formula and no value, or an empty one.
_NO_VALUE = re.compile(rb"</f>\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>|<f[^>]*/>\s*(?:<v\s*/>)?\s*</c>")


def _plain_time(value: Any) -> Any:
    """Return a time of day, or a duration, as text: 00:00:01.5 of an audio file."""
    if isinstance(value, datetime.time):
        return value.isoformat()
    return str(value) if isinstance(value, datetime.timedelta) else value
