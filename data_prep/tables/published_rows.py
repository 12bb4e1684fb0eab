"""Rows of published tables: plain cells, sounds as files, frames of features by id."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.errors import CodedError, Fault, raise_faults
from data_prep.features.frame_files import FloatArray
from data_prep.features.stored import features_folder, write_split
from data_prep.files.listing import suffix_of
from data_prep.manifest.cells import file_stem, find_id_fault
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import Corpus, read_manifest
from data_prep.tables.cells import class_name, plain, text_cell
from data_prep.tables.published_cells import Sound, as_frames, as_sound
from data_prep.tables.table import Table

ROW_ID = "row number"  # the column of the ids that we make where a table has none


@dataclass(frozen=True)
class Plan:
    """The columns to read: by field, feature columns by folder, and further ones."""

    columns: Mapping[str, str]
    features: Mapping[str, str]
    further: Collection[str] = ()

    @property
    def wanted(self) -> set[str]:
        names = {*self.columns.values(), *self.features.values(), *self.further}
        return names | {name.removesuffix(".path") for name in names}


@dataclass
class Loaded:
    """One split: plain rows, frames by folder and id, and how many sounds were stored or named."""

    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    frames: dict[str, dict[str, FloatArray | None]] = field(default_factory=dict)
    stored: int = 0
    named: int = 0


def load(tables: Sequence[Table], split: str, plan: Plan, out_dir: Path) -> Loaded:
    """Read the tables of a split; sounds that they contain are written to OUT_DIR/audio.

    Raises ManifestError, which names the rows with cells that cannot be read.
    """
    loaded = Loaded(frames={name: {} for name in plan.features})
    faults = []
    for table in tables:
        for source in table.rows(plan.wanted):
            if source.fault is not None:
                faults.append(source.fault)
                continue
            reader = _RowLoader(source.cells, table, plan)
            number = len(loaded.rows) + 1
            try:
                row_id = reader.row_id(f"{split or 'row'}_{number:06d}")
                row = reader.row(row_id, split or "all", out_dir, loaded)
                for name, column in plan.features.items():
                    loaded.frames[name][row_id] = reader.frames(column)
            except ValueError as error:
                remedy = "correct it, or --ignore it"
                fault = Fault(str(table.path), source.number, str(error), remedy, "cell-invalid")
                faults.append(fault)
                continue
            loaded.rows.append((source.number, row))
    raise_faults(faults)
    return loaded


@dataclass(frozen=True)
class _RowLoader:
    """Reads the cells of one row."""

    cells: Mapping[str, Any]
    table: Table
    plan: Plan

    def row_id(self, made: str) -> str:
        column = self.plan.columns["id"]
        row_id = made if column == ROW_ID else self._text(column)
        if fault := find_id_fault(row_id):  # before files are named by it
            raise ValueError("; ".join(fault))
        return row_id

    def row(self, row_id: str, folder: str, out_dir: Path, loaded: Loaded) -> dict[str, str]:
        row = {column: self._text(column) for column in self._plain_columns()}
        row[self.plan.columns["id"]] = row_id
        if column := self.plan.columns.get("audio"):
            try:
                row[column] = _store(
                    as_sound(self.cells.get(column)), row_id, folder, out_dir, loaded
                )
            except ValueError as error:
                raise ValueError(f"{column}: {error}") from None
        return row

    def frames(self, column: str) -> FloatArray | None:
        try:
            return as_frames(self.cells.get(column))
        except ValueError as error:
            raise ValueError(f"{column}: {error}") from None

    def _plain_columns(self) -> Iterator[str]:
        special = {self.plan.columns.get("audio"), ROW_ID}
        for column in dict.fromkeys((*self.plan.columns.values(), *self.plan.further)):
            if column not in special:
                yield column

    def _text(self, column: str) -> str:
        if column not in self.cells and column.endswith(".path"):
            sound = as_sound(self.cells.get(column.removesuffix(".path")))
            return "" if sound is None or sound.path is None else sound.path
        value = class_name(self.table, column, self.cells.get(column))
        try:
            return text_cell(value) if column == self.plan.columns.get("text") else plain(value)
        except ValueError as error:
            raise ValueError(f"column {column} {error}") from None


def _store(sound: Sound | None, row_id: str, folder: str, out_dir: Path, loaded: Loaded) -> str:
    """Return the audio path of a sound; a stored one is written to OUT_DIR/audio."""
    if sound is None:
        return ""
    if sound.content is None:
        loaded.named += 1
        return sound.path or ""
    suffix = suffix_of(sound.content)
    target = out_dir / "audio" / folder / f"{file_stem(row_id)}{suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(sound.content)
    loaded.stored += 1
    return target.relative_to(out_dir).as_posix()


def write_features(
    out_dir: Path, corpus: Corpus, name: str, column: str, frames: Mapping[str, FloatArray | None]
) -> None:
    """Write features/<name>/{split}.npy and .lengths, in the order of the manifests.

    A row without frames has length 0. Raises CodedError if no row has any.
    """
    width = next((array.shape[1] for array in frames.values() if array is not None), None)
    if width is None:
        message = f"column {column} has no features at all; leave it out with --ignore"
        raise CodedError(message, "features-missing")
    none = np.zeros((0, width), np.float32)
    settings = {"features": name, "column": column, "dtype": "float32"}
    for split in corpus.splits:
        rows = read_manifest(out_dir / f"{split}.tsv")
        arrays = [none if (array := frames[row.id]) is None else array for row in rows]
        pairs = zip(rows, arrays, strict=True)
        content = sequence_digest(
            (row.id, hashlib.sha256(array.tobytes()).hexdigest()) for row, array in pairs
        )
        write_split(features_folder(out_dir, name), split, rows, arrays, settings, content)
