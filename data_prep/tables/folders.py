"""Folders of recordings as tables: a folder for each class, and the AudioFolder of `datasets`.

- `angry/*.wav`, `happy/*.wav`, also below `train/`, `valid/` and `test/`: a row a recording, with
  the columns file, label and, with such folders, split. Folders that are called alike but for a
  number, such as Actor_01, are no classes, nor are splits beside other folders of recordings.
- `metadata.csv` (or .jsonl, .parquet) beside its files, also in folders of splits, one of each: its
  rows, with `file_name` from the folder, and split.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.listing import AUDIO_SUFFIXES, files_below, visible, walk
from data_prep.tables.column_contents import split_of
from data_prep.tables.table import Row, Table

FILE, LABEL, SPLIT = "file", "label", "split"
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FILE_NAME = "file_name"  # of AudioFolder
_NUMBERED = re.compile(r"(\D*)\d+")
_LEAST_CLASSES = 2


def is_audio_folder(folder: Path) -> bool:
    """Return whether a folder, or one of its folders of splits, has the metadata of AudioFolder."""
    return bool(_metadata_files(folder))


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder holds folders of recordings."""
    return len(_class_folders(folder)) >= _LEAST_CLASSES


def open_folder(folder: Path, open_table: Callable[[Path], Table]) -> Table:
    """Open a folder of recordings.

    Raises:
        ManifestError: it is none; its folders are numbered, and may be of speakers; or some of them
            are of splits and others are not, or of the same one.
    """
    if files := _metadata_files(folder):
        if any(files):
            _check_splits(folder, [path for path in _folders(folder) if _metadata_in(path)], True)
        tables = {split: open_table(path) for split, path in files.items()}
        return _AudioFolder(folder, tables)
    _check_splits(folder, _with_audio(folder), False)
    classes = _class_folders(folder)
    names = list(dict.fromkeys(path.name for path in classes))
    if len(names) < _LEAST_CLASSES:
        problem, remedy = (
            "holds no folders of recordings",
            "give a table, or a folder for each class",
        )
        raise ManifestError(Fault(str(folder), None, problem, remedy, "classes-missing"))
    matches = [_NUMBERED.fullmatch(name) for name in names]
    if all(matches) and len({match[1] for match in matches if match}) == 1:
        problem = f"its folders {names[0]}, {names[1]} ... are numbered, as those of speakers are"
        remedy = "name them by their classes, or give a table with a row for each recording"
        raise ManifestError(Fault(str(folder), None, problem, remedy, "classes-numbered"))
    return _ClassFolders(folder, classes)


def _check_splits(folder: Path, parts: Sequence[Path], is_one_each: bool) -> None:
    """Refuse folders of which some are of splits and others are not.

    Args:
        folder: that they are in.
        parts: the folders with recordings, or with metadata.
        is_one_each: refuse two of one split, too.

    Raises:
        ManifestError: there are such folders.
    """
    of_split: dict[str, list[str]] = {}
    for path in parts:
        of_split.setdefault(split_of(path.name) or "", []).append(path.name)
    others = of_split.pop("", [])
    twice = [names for names in of_split.values() if len(names) > 1]
    problem = ""
    if len(of_split) > 1 and others:
        first = next(iter(of_split.values()))[0]
        problem = f"holds {first} and other splits, and {others[0]}, which is none"
    elif is_one_each and twice:
        problem = f"holds {' and '.join(twice[0])}, which are one split"
    if problem:
        remedy = "join, rename or move the folders, so that each is a split"
        raise ManifestError(Fault(str(folder), None, problem, remedy, "splits-ambiguous"))


class _ClassFolders:
    """A row a recording, whose class is the name of its folder."""

    class_names: Mapping[str, Sequence[str]] = {}

    def __init__(self, folder: Path, classes: Sequence[Path]) -> None:
        self.path = folder
        self._classes = classes
        in_splits = any(path.parent != folder for path in classes)
        self.columns: Sequence[str] = [FILE, LABEL, *[SPLIT] * in_splits]

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        number = 0
        for folder in self._classes:
            for path in visible(files_below(folder), folder):
                if path.suffix.lower() in AUDIO_SUFFIXES:
                    number += 1
                    file = path.relative_to(self.path).as_posix()
                    cells = {FILE: file, LABEL: folder.name, SPLIT: folder.parent.name}
                    yield Row(number, {name: cells[name] for name in self.columns})


def _class_folders(folder: Path) -> list[Path]:
    """Return the folders of the classes, in those of the splits if all folders are of splits."""
    folders = _with_audio(folder)
    if folders and all(split_of(path.name) for path in folders):
        return [path for split in folders for path in _with_audio(split)]
    return folders


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.is_dir())


def _with_audio(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if _has_audio(path)]


def _has_audio(folder: Path) -> bool:
    return any(
        Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith(".")
        for _, _, files in walk(folder)
        for name in files
    )


class _AudioFolder:
    """The rows of metadata files, with paths from one folder."""

    class_names: Mapping[str, Sequence[str]] = {}

    def __init__(self, folder: Path, tables: Mapping[str, Table]) -> None:
        self.path = folder
        self._tables = tables
        columns = dict.fromkeys(name for t in self._tables.values() for name in t.columns)
        for table in self._tables.values():
            if _FILE_NAME not in table.columns:
                problem, remedy = f"no column {_FILE_NAME}", "name the files of its rows in it"
                raise ManifestError(Fault(str(table.path), 1, problem, remedy, "column-missing"))
        if any(tables) and SPLIT in columns:
            raise CodedError(
                f"{folder}: rows have a column {SPLIT}, and are in folders of splits; remove one",
                "splits-ambiguous",
            )
        self.columns: Sequence[str] = [*columns, *[SPLIT] * any(tables)]

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        number = 0
        for split, table in self._tables.items():
            for row in table.rows():
                number += 1
                cells: dict[str, Any] = {name: row.cells.get(name, "") for name in self.columns}
                if split:
                    folder = table.path.parent.name
                    cells |= {SPLIT: split, _FILE_NAME: f"{folder}/{cells[_FILE_NAME]}"}
                yield Row(number, cells if row.fault is None else {}, row.fault)


def _metadata_files(folder: Path) -> dict[str, Path]:
    """Return {split: metadata file}; "" for one in the folder itself.

    Raises:
        ManifestError: there are several in one folder, or one in the folder and in one of a split.
    """
    splits = {split_of(path.name): path for path in _folders(folder)}
    parts = {split: _metadata_in(path) for split, path in splits.items() if split}
    files = {split: path for split, path in parts.items() if path is not None}
    if (own := _metadata_in(folder)) is None:
        return files
    if files:
        raise _several_metadata(folder, [own, *files.values()])
    return {"": own}


def _metadata_in(folder: Path) -> Path | None:
    """Return the metadata file of a folder; None without one.

    Raises:
        ManifestError: there are several.
    """
    files = [folder / name for name in _METADATA if (folder / name).is_file()]
    if len(files) > 1:
        raise _several_metadata(folder, files)
    return files[0] if files else None


def _several_metadata(folder: Path, files: Sequence[Path]) -> ManifestError:
    problem = f"holds {' and '.join(str(file.relative_to(folder)) for file in files)}"
    remedy = "keep those that are to be read: one in the folder, or one in that of each split"
    return ManifestError(Fault(str(folder), None, problem, remedy, "source-ambiguous"))
