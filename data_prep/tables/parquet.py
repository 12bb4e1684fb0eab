"""Parquet: numbers, booleans and nulls keep their kind, lists of numbers are arrays.

Extension types that Python pickled are refused.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.documents import parse_json_line
from data_prep.tables.table import Row, check_header, column_label

_ROWS_AT_ONCE = 256  # a batch holds the sound of its rows
_PICKLED = b"arrow.py_extension_type"


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
                detail = f"{column_label(name)} is not UTF-8 text"
                remedy = "export it again"
                fault = Fault(str(self.path), number, detail, remedy, "encoding-invalid")
                return Row(number, {}, fault)
        return Row(number, dict(zip(columns, values, strict=True)))


def open_parquet(path: Path) -> ParquetTable:
    """Open a Parquet file.

    Raises:
        CodedError: pyarrow is not installed.
        ManifestError: it is damaged, has a column of a pickled type, or two of one name.
    """
    schema = _parquet_file(path).schema_arrow
    pickled = [
        field.name
        for field in schema
        if (field.metadata or {}).get(b"ARROW:extension:name") == _PICKLED
    ]
    if pickled:
        detail = f"column {', '.join(map(column_label, pickled))} is of a type that Python pickled"
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
