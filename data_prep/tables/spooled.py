"""A table whose rows are parsed once and read several times."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from data_prep.tables.table import Row, Table

_BYTES_IN_MEMORY = 1 << 24  # beyond, the rows are in a temporary file
_ROWS_AT_ONCE = 256


class SpooledTable:
    """A copy of a table's rows, with the columns that any of them has.

    JSON lines have no header: their columns are known once all rows are parsed.

    Args:
        table: is read once, now.
    """

    def __init__(self, table: Table) -> None:
        self.path: Path = table.path
        self.class_names: Mapping[str, Sequence[str]] = table.class_names
        self._file = tempfile.SpooledTemporaryFile(_BYTES_IN_MEMORY)  # noqa: SIM115 - kept open
        columns: dict[str, None] = {}
        rows = ((row.number, dict(row.cells), row.fault) for row in table.rows())
        while batch := list(islice(rows, _ROWS_AT_ONCE)):
            for _, cells, _ in batch:
                columns.update(dict.fromkeys(cells))
            pickle.dump(batch, self._file)
        self._end = self._file.tell()
        self.columns: Sequence[str] = list(columns)

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        """Iterate over the rows; several iterations may be in progress."""
        position = 0
        while position < self._end:
            self._file.seek(position)
            batch = pickle.load(self._file)
            position = self._file.tell()
            for number, cells, fault in batch:
                yield Row(number, cells, fault)
