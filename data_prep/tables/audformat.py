"""audformat databases (a header db.yaml and a file a table) as tables of rows, by split.

Read with the package audformat (`pip install audformat`). The tables that are taken are joined by
file: a segmented table's rows are stretches, which are cut into OUT_DIR/audio and take over what
filewise tables say of their file; a file that no segment is of is a row of its own. Columns keep
their names; `id` is the file's path without suffix, for a stretch with its milliseconds. Splits are
those of the tables (`split_id`), if any has one: then a row in no such table is none.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from data_prep.cells import file_stem
from data_prep.corpora.cut_audio import SUFFIX, Stretch, cut_all
from data_prep.records import SPLITS, Fault, raise_faults
from data_prep.tables.hf_files import SPLIT_OF
from data_prep.tables.reader import Row, plain
from data_prep.tables.recipe import TableRecipe

HEADER = "db.yaml"

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
    folder: Path, names: Sequence[str], out_dir: Path, recipe: TableRecipe
) -> tuple[dict[str, list[AudformatTable]], TableRecipe]:
    """The tables by split, "" where the database knows none, and the recipe with audio's folder.

    Raises ValueError where the database or the tables cannot be read, or contradict each other.
    """
    database = _load(folder)
    header = folder / HEADER
    if unknown := [name for name in names if name not in database.tables]:
        known = ", ".join(database.tables)
        raise ValueError(f"{header}: has no table {', '.join(unknown)}; it has {known}")
    tables = {name: database.tables[name] for name in names or database.tables}
    rows, split_of = _join(header, database, tables)
    stretched = any(start or end is not None for _, start, end in rows)
    raw = recipe.data_raw or folder
    if stretched:
        _cut(header, rows, raw, out_dir, recipe.drop_bad_audio)
    columns = dict.fromkeys(name for cells in rows.values() for name in cells)
    content: dict[str, list[tuple[int, Cells]]] = {}
    for number, (key, cells) in enumerate(rows.items(), start=1):
        if not split_of or key in split_of:
            full = {name: cells.get(name, "") for name in columns}
            content.setdefault(split_of.get(key, ""), []).append((number, full))
    class_names = _class_names(database, tables)
    found = {
        split: [AudformatTable(_name(header, split), list(columns), class_names, content[split])]
        for split in ("", *SPLITS)
        if split in content
    }
    licence = recipe.licence or str(database.license or "")
    return found, replace(recipe, data_raw=out_dir if stretched else raw, licence=licence)


def _name(header: Path, split: str) -> Path:
    """What messages call the rows of a split: `db.yaml, train`."""
    return header.with_name(f"{HEADER}, {split}") if split else header


def _load(folder: Path) -> Any:
    try:
        audformat = importlib.import_module("audformat")
    except ImportError as error:
        raise ValueError(f"{folder}: needs audformat; `pip install audformat`") from error
    try:
        return audformat.Database.load(str(folder), load_data=True, verbose=False)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{folder / HEADER}: no audformat database ({reason})") from error


def _join(
    header: Path, database: Any, tables: Mapping[str, Any]
) -> tuple[dict[Key, Cells], dict[Key, str]]:
    """Rows by file and stretch, and the split of those that have one."""
    rows: dict[Key, Cells] = {}
    split_of: dict[Key, str] = {}
    faults: list[Fault] = []
    for name, table in tables.items():
        split = _split(header, database, name, table)
        for key, cells in _rows(table):
            what = f"table {name}: {key[0]}"
            if split and split_of.setdefault(key, split) != split:
                faults.append(Fault(str(header), None, f"{what} is in {split_of[key]} too", "mend"))
            row = rows.setdefault(key, {})
            for column, value in cells.items():
                if value and row.setdefault(column, value) != value:
                    told = f"{what}: {column} is {value!r}, but {row[column]!r} in another table"
                    faults.append(Fault(str(header), None, told, "choose with --tables"))
    raise_faults(faults)
    return _with_segments(rows, split_of)


def _with_segments(
    rows: dict[Key, Cells], split_of: dict[Key, str]
) -> tuple[dict[Key, Cells], dict[Key, str]]:
    """Files give way to their stretches, which keep what is said of the file."""
    whole = {key[0]: key for key in rows if key[1:] == (0.0, None)}
    cut = {key[0] for key in rows if key[1:] != (0.0, None)}
    joined: dict[Key, Cells] = {}
    splits: dict[Key, str] = {}
    for key, cells in rows.items():
        file = whole.get(key[0])
        if file == key and key[0] in cut:
            continue
        ids = {"id": _id(key), "audio": key[0]}
        joined[key] = {**ids, **(rows[file] if file else {}), **cells}
        if split := split_of.get(key) or (file and split_of.get(file)):
            splits[key] = split
    return joined, splits


def _split(header: Path, database: Any, name: str, table: Any) -> str | None:
    if table.split_id is None:
        return None
    kind = str(database.splits[table.split_id].type)
    if kind not in SPLIT_OF:
        raise ValueError(
            f"{header}: table {name} is of split type {kind!r}, none of "
            f"{', '.join(SPLIT_OF)}; leave it out with --tables"
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


def _id(key: Key) -> str:
    file, start, end = key
    name = Path(file).with_suffix("").as_posix()
    if key[1:] == (0.0, None):
        return name
    return f"{name}_{round(start * 1000)}_{'end' if end is None else round(end * 1000)}"


def _cut(header: Path, rows: dict[Key, Cells], raw: Path, out_dir: Path, lenient: bool) -> None:
    """Cut every row's sound into OUT_DIR/audio; whole files too, to start from one folder."""
    stretches = []
    for (file, start, end), cells in rows.items():
        cells["audio"] = f"audio/{file_stem(cells['id'])}{SUFFIX}"
        stretches.append(Stretch(raw / file, start, end, out_dir / cells["audio"]))
    faults = []
    for stretch, error in zip(stretches, cut_all(stretches), strict=True):
        if error is None:
            continue
        stretch.target.unlink(missing_ok=True)
        what = f"{stretch.source}: {error}"
        faults.append(Fault(str(header), None, what, "mend it, or add --drop-bad-audio"))
    if not lenient:
        raise_faults(faults)


def _class_names(database: Any, tables: Mapping[str, Any]) -> dict[str, list[str]]:
    """Column -> the labels of its scheme, in its order."""
    names = {}
    for table in tables.values():
        for name, column in table.columns.items():
            scheme = database.schemes.get(column.scheme_id)
            if scheme is not None and scheme.labels is not None:
                names[str(name)] = [str(label) for label in scheme.labels_as_list]
    return names
