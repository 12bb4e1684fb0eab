"""Tables on disk, row by row: Parquet and CSV files, and the shards that `datasets` exports."""

from __future__ import annotations

import csv
import importlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from data_prep.records import Fault, ManifestError
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.rows import Rows, read_delimited

PARQUET = ".parquet"
SPLIT_OF = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "valid"),
    "test": "test",
}
_SHARD = re.compile(r"([a-z]+)(?:-(\d{5})-of-(\d{5}))?\.(?:parquet|csv|tsv)")
_ROWS_AT_ONCE = 256  # a batch holds the sound of its rows


class TableSource(Protocol):
    """A table: its columns, the names of class columns as far as told, and its rows."""

    @property
    def path(self) -> Path: ...

    @property
    def columns(self) -> Sequence[str]: ...

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]: ...

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """(row or line number, {column: cell}), of the wanted columns at least."""


@dataclass(frozen=True)
class DelimitedTable:
    """A CSV or TSV; all its cells are text."""

    path: Path
    content: Rows

    @property
    def columns(self) -> Sequence[str]:
        return list(self.content[0][1])

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        return {}

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        return iter(self.content)


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file, read a batch at a time; lists of numbers come as arrays."""

    path: Path
    columns: Sequence[str]
    class_names: Mapping[str, Sequence[str]]

    def rows(self, wanted: Collection[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        number = 0
        columns = [name for name in self.columns if name in wanted]
        for batch in _open_parquet(self.path).iter_batches(_ROWS_AT_ONCE, columns=columns):
            cells = [_cells(batch.column(name)) for name in columns]
            for values in zip(*cells, strict=True):
                number += 1
                yield number, dict(zip(columns, values, strict=True))


def open_table(path: Path, recipe: TableRecipe) -> TableSource:
    """Open a file by its suffix. Raises ValueError for no table, or where pyarrow is missing."""
    if path.suffix == PARQUET:
        schema = _open_parquet(path).schema_arrow
        return ParquetTable(path, schema.names, _class_names(schema))
    with _long_fields():
        content = read_delimited(path, (), recipe)
    if not content:
        raise ManifestError(Fault(str(path), None, "has no rows", "leave the file out"))
    return DelimitedTable(path, content)


@contextmanager
def _long_fields() -> Iterator[None]:
    """Fields of a CSV may be longer than the csv module takes unasked."""
    limit = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _open_parquet(path: Path) -> Any:
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ValueError(f"{path}: Parquet needs pyarrow; `pip install pyarrow`") from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ManifestError(
            Fault(str(path), None, f"no Parquet file ({error})", "export it again")
        ) from None


def _cells(column: Any) -> list[Any]:
    """Python values; lists as arrays, which take a tenth of the room."""
    if "list" not in str(column.type).partition("<")[0]:
        values: list[Any] = column.to_pylist()
        return values
    return [_array(cell) if cell.is_valid else None for cell in column]


def _array(cell: Any) -> Any:
    values = cell.values
    if "list" in str(values.type).partition("<")[0]:
        return [_array(row) for row in values]
    return values.to_numpy(zero_copy_only=False)


def _class_names(schema: Any) -> dict[str, list[str]]:
    """What `datasets` writes of its ClassLabel columns into a Parquet file."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = told.get("info", {}).get("features", {})
        return {name: list(kind["names"]) for name, kind in features.items() if "names" in kind}
    except (ValueError, AttributeError, TypeError):
        return {}


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """{split: files} of a folder, or of its `data/`, as `datasets` names them.

    `train-00000-of-00002.parquet`, `validation.csv` ... Raises ValueError where there are none, a
    shard is missing, or a split is there twice.
    """
    found: dict[tuple[str, str], dict[int, Path]] = {}
    wanted: dict[tuple[str, str], int] = {}
    for path in sorted([*folder.glob("*"), *(folder / "data").glob("*")]):
        match = _SHARD.fullmatch(path.name)
        if not match or match[1] not in SPLIT_OF:
            continue
        key = (match[1], path.suffix)
        found.setdefault(key, {})[int(match[2] or 0)] = path
        wanted[key] = int(match[3] or 1)
    if not found:
        raise ValueError(
            f"{folder}: no train-00000-of-00001.parquet, train.csv or the like; name its files"
        )
    shards: dict[str, list[Path]] = {}
    for (name, suffix), files in found.items():
        if sorted(files) != list(range(wanted[name, suffix])):
            raise ValueError(f"{folder}: {name} has {len(files)} of {wanted[name, suffix]} shards")
        if SPLIT_OF[name] in shards:
            raise ValueError(f"{folder}: {SPLIT_OF[name]} is there twice; name the files to read")
        shards[SPLIT_OF[name]] = [files[i] for i in sorted(files)]
    return {split: shards[split] for split in dict.fromkeys(SPLIT_OF.values()) if split in shards}
