"""audformat databases (a header db.yaml and a file a table) as tables of rows, by split.

Read with the package audformat (`pip install audformat`). The tables that are taken are joined by
file: a segmented table's rows are segments of their recordings, by `start` and `end`, and take over
what filewise tables state about their file; a file without segments is a row of its own. Columns
keep their names; `id` is the file's path without suffix, for a segment with its milliseconds.
Splits are those of the tables (`split_id`), if any has one: then a row in no such table is none.

audformat writes times as `0 days 00:00:01.500000`; other tools write plain seconds into the same
tables, which are taken for seconds. Tables that audformat has cached as pickles are refused, since
loading a pickle runs what it holds.
"""

from __future__ import annotations

import csv
import importlib
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from data_prep.manifest.cells import shown
from data_prep.manifest.labels import MISSING_WORDS
from data_prep.schema import SPLITS
from data_prep.tables.cells import plain
from data_prep.tables.reader import CSV, PARQUET, open_table
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.shards import SPLIT_OF
from data_prep.tables.table import Row

HEADER = "db.yaml"

_STEM = "db"  # of the header and of the tables, db.emotion.csv

_PLAIN_NUMBER = re.compile(r"\d+\.?\d*|\.\d+")

Key = tuple[str, float, float | None]  # file, and start and end in seconds
Cells = dict[str, str]


@dataclass(frozen=True)
class AudformatTable:
    """The rows of one split, joined from the database's tables."""

    path: Path
    columns: Sequence[str]
    class_names: Mapping[str, Sequence[str]]
    content: Sequence[tuple[int, Cells]]

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        return (Row(number, cells) for number, cells in self.content)


def open_audformat(
    folder: Path, names: Sequence[str], recipe: TableRecipe
) -> tuple[dict[str, list[AudformatTable]], TableRecipe]:
    """Read the tables by split ("" without splits), and complete the recipe with audio's folder.

    Raises ValueError if the database or the tables cannot be read, or contradict each other.
    """
    database = _load(folder)
    header = folder / HEADER
    if unknown := [name for name in names if name not in database.tables]:
        known = ", ".join(database.tables)
        raise CodedError(
            f"{header}: has no table {', '.join(unknown)}; it has {known}", "table-unknown"
        )
    tables = {name: database.tables[name] for name in names or database.tables}
    raise_faults(list(_label_faults(folder, database, tables)))
    rows, split_of = _join(header, database, tables)
    columns = dict.fromkeys(name for cells in rows.values() for name in cells)
    content: dict[str, list[tuple[int, Cells]]] = {}
    for number, (key, cells) in enumerate(rows.items(), start=1):
        if not split_of or key in split_of:
            full = {name: cells.get(name, "") for name in columns}
            content.setdefault(split_of.get(key, ""), []).append((number, full))
    class_names = _class_names(database, tables)
    by_split = {
        split: [AudformatTable(_name(header, split), list(columns), class_names, content[split])]
        for split in ("", *SPLITS)
        if split in content
    }
    terms = recipe.license or str(database.license or "")
    return by_split, replace(recipe, data_raw=recipe.data_raw or folder, license=terms)


def _name(header: Path, split: str) -> Path:
    """Return the name of a split in messages: `db.yaml, train`."""
    return header.with_name(f"{HEADER}, {split}") if split else header


def _load(folder: Path) -> Any:
    if pickles := sorted(folder.glob(f"{_STEM}.*.pkl")):
        problem = "a table stored as a pickle, which can run any code when it is loaded"
        remedy = "delete it if the table exists as .csv or .parquet, or save it as one"
        raise ManifestError(Fault(str(pickles[0]), None, problem, remedy, "table-pickled"))
    try:
        audformat = importlib.import_module("audformat")
    except ImportError as error:
        message = f"{folder}: needs audformat; `pip install audformat`"
        raise CodedError(message, "package-missing") from error
    try:
        with tempfile.TemporaryDirectory() as scratch:
            readable = with_units(folder, Path(scratch))
            return audformat.Database.load(str(readable), load_data=True, verbose=False)
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        csv.Error,
        yaml.YAMLError,
    ) as error:
        reason = " ".join(str(error).split())
        message = f"{folder / HEADER}: no audformat database ({reason})"
        raise CodedError(message, "database-invalid") from error


def _label_faults(folder: Path, database: Any, tables: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield faults of labels outside the scheme of their column, which audformat drops."""
    for name, table in tables.items():
        labels = _class_names(database, {name: table})
        text = [column for column in labels if _is_text(database, table.columns[column])]
        paths = (folder / f"{_STEM}.{name}{suffix}" for suffix in (PARQUET, CSV))
        path = next(filter(Path.is_file, paths), None)
        if path is None or not text:
            continue
        for row in open_table(path).rows():
            for column in text:
                value = plain(row.cells.get(column))
                word = value.strip().casefold()
                if value in labels[column] and word in MISSING_WORDS:
                    if not (table.df[column].astype(object) == value).any():
                        detail = (
                            f"{column} {shown(value)} is a label that audformat reads as missing"
                        )
                        yield Fault(
                            str(path),
                            row.number,
                            detail,
                            "give the label another name",
                            "label-ambiguous",
                        )
                    continue
                if value in labels[column] or word in ("", *MISSING_WORDS):
                    continue
                detail = f"{column} {shown(value)} is no label of its scheme in {HEADER}"
                remedy = f"correct it, or add it there: {', '.join(labels[column])}"
                yield Fault(str(path), row.number, detail, remedy, "label-unknown")


def _is_text(database: Any, column: Any) -> bool:
    return str(database.schemes[column.scheme_id].dtype) == "str"


def with_units(folder: Path, scratch: Path) -> Path:
    """Return a folder with the database's tables in which times have a unit.

    audformat reads a time without one as nanoseconds, or refuses it. Returns `folder` itself if
    there are none; else `scratch`, with copies.
    """
    changed = {}
    for path in sorted(folder.glob(f"{_STEM}.*.csv")):
        table = open_table(path)
        header = list(table.columns)
        content = list(table.rows())
        raise_faults([row.fault for row in content if row.fault is not None])
        rows = [list(row.cells.values()) for row in content]
        if header[:3] == ["file", "start", "end"] and any(map(_has_plain_time, rows)):
            changed[path.name] = [header, *map(_with_unit, rows)]
    if not changed:
        return folder
    tables = [*folder.glob(f"{_STEM}.*.csv"), *folder.glob(f"{_STEM}.*.parquet")]
    for path in (folder / HEADER, *tables):
        if path.name in changed:
            with (scratch / path.name).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(changed[path.name])
        else:
            shutil.copy(path, scratch)
    return scratch


def _has_plain_time(row: Sequence[str]) -> bool:
    return any(_PLAIN_NUMBER.fullmatch(time) for time in row[1:3])


def _with_unit(row: Sequence[str]) -> list[str]:
    times = (f"{time}s" if _PLAIN_NUMBER.fullmatch(time) else time for time in row[1:3])
    return [*row[:1], *times, *row[3:]]


def _join(
    header: Path, database: Any, tables: Mapping[str, Any]
) -> tuple[dict[Key, Cells], dict[Key, str]]:
    """Return the rows by file and segment, and the split of those that have one."""
    files: dict[Key, Cells] = {}
    segments: dict[Key, Cells] = {}
    split_of: dict[Key, str] = {}
    faults: list[Fault] = []
    for name, table in tables.items():
        rows = files if table.is_filewise else segments
        split = _split(header, database, name, table)
        for key, cells in _rows(table):
            detail = f"table {name}: {key[0]}"
            if split and split_of.setdefault(key, split) != split:
                problem, remedy = f"{detail} is in {split_of[key]} too", "keep it in one"
                faults.append(Fault(str(header), None, problem, remedy, "splits-overlap"))
            row = rows.setdefault(key, {})
            for column, value in cells.items():
                if value and row.setdefault(column, value) != value:
                    problem = (
                        f"{detail}: {column} is {value!r}, but {row[column]!r} in another table"
                    )
                    fault = Fault(
                        str(header), None, problem, "choose with --tables", "tables-contradict"
                    )
                    faults.append(fault)
    raise_faults(faults)
    return _with_segments(files, segments, split_of)


def _with_segments(
    files: Mapping[Key, Cells], segments: Mapping[Key, Cells], split_of: Mapping[Key, str]
) -> tuple[dict[Key, Cells], dict[Key, str]]:
    """Replace files by their segments, which inherit the cells and the split of the file.

    A segment may be of a whole file, and beside others of it.
    """
    cut = {key[0] for key in segments}
    uncut = {key: cells for key, cells in files.items() if key[0] not in cut}
    joined: dict[Key, Cells] = {}
    splits: dict[Key, str] = {}
    for key, cells in {**uncut, **segments}.items():
        file = (key[0], 0.0, None)
        ids = {"id": _id(key), "audio": key[0]}
        joined[key] = {**ids, **files.get(file, {}), **cells, **_times(key)}
        if split := split_of.get(key) or (split_of.get(file) if file in files else None):
            splits[key] = split
    return joined, splits


def _split(header: Path, database: Any, name: str, table: Any) -> str | None:
    if table.split_id is None:
        return None
    kind = str(database.splits[table.split_id].type)
    if kind not in SPLIT_OF:
        raise CodedError(
            f"{header}: table {name} is of split type {kind!r}, none of "
            f"{', '.join(SPLIT_OF)}; leave it out with --tables",
            "split-unknown",
        )
    return SPLIT_OF[kind]


def _rows(table: Any) -> Iterator[tuple[Key, Cells]]:
    frame = table.df
    columns = {}
    for name in frame.columns:
        values = frame[name].astype(object)
        columns[str(name)] = [plain(v) for v in values.where(values.notna(), None)]
    for number, index in enumerate(frame.index):
        cells = {name: values[number] for name, values in columns.items()}
        if isinstance(index, str):
            yield (index, 0.0, None), cells
        else:
            file, start, end = index
            seconds = end.total_seconds()  # NaN of NaT, the end of the file
            yield (file, start.total_seconds(), None if seconds != seconds else seconds), cells


def _times(key: Key) -> Cells:
    """Return the start and end of a segment, nothing of a whole file."""
    _, start, end = key
    if not start and end is None:
        return {}
    return {"start": repr(start), "end": "" if end is None else repr(end)}


def _id(key: Key) -> str:
    file, start, end = key
    name = Path(file).with_suffix("").as_posix()
    if key[1:] == (0.0, None):
        return name
    return f"{name}_{round(start * 1000)}_{'end' if end is None else round(end * 1000)}"


def _class_names(database: Any, tables: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return {column: the labels of its scheme, in its order}."""
    names = {}
    for table in tables.values():
        for name, column in table.columns.items():
            scheme = database.schemes.get(column.scheme_id)
            if scheme is not None and scheme.labels is not None:
                names[str(name)] = [str(label) for label in scheme.labels_as_list]
    return names
