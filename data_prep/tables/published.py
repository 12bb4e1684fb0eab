"""Prepare tables as `datasets` exports them, and audformat databases."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.engines import Workers
from data_prep.errors import CodedError, Fault, raise_faults
from data_prep.features.frame_files import FloatArray
from data_prep.features.stored import write_split
from data_prep.files.listing import suffix_of
from data_prep.manifest.cells import file_stem, find_id_fault
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import AXES, LABEL_COLUMNS, Corpus, read_manifest
from data_prep.tables.cells import class_name, plain, text_cell
from data_prep.tables.prepare import prepare_table
from data_prep.tables.published_cells import Sound, as_frames, as_sound
from data_prep.tables.reader import check_has_columns, check_has_rows
from data_prep.tables.recipe import FIELDS, TableRecipe, check_recipe
from data_prep.tables.table import Table

STORED_NOTE = "audio was written into this folder"

Sources = Mapping[str, Sequence[Table]]  # split, or "" where it is a column -> its tables


def prepare_hf_table(
    sources: Sources,
    out_dir: str | Path,
    recipe: TableRecipe,
    *,
    features: Sequence[str] = (),
    ignored: Sequence[str] = (),
    unmapped: Sequence[str] = (),
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of `sources`, and the features that they hold.

    Args:
        sources: the tables of every split, all with the same columns.
        out_dir: the data dir.
        recipe: as of `table`; its `columns` are completed by known names.
        features: NAME=COLUMN for feature columns that have no known name.
        ignored: columns of known names that are not to be used.
        unmapped: columns that fill no field by their name, since their content does not.
        workers: an engine, or a number of threads, which decode audio.
        progress: whether that is shown.
    """
    out_dir = Path(out_dir)
    plan, recipe = make_plan(sources, recipe, features, ignored, unmapped)
    paths = {split: _name(tables) for split, tables in sources.items()}
    check_recipe(replace(recipe, data_raw=recipe.data_raw or out_dir), paths)
    loaded = {split: load(tables, split, plan, out_dir) for split, tables in sources.items()}
    if "audio" in plan.columns:
        recipe = _with_audio_root(loaded.values(), recipe, out_dir)
    rows_of = {paths[split]: part.rows for split, part in loaded.items()}
    corpus = prepare_table(
        paths,
        out_dir,
        recipe,
        read=lambda path, wanted, recipe: rows_of[path],
        workers=workers,
        progress=progress,
    )
    for name, column in plan.features.items():
        frames = {id_: a for part in loaded.values() for id_, a in part.frames[name].items()}
        write_features(out_dir, corpus, name, column, frames)
    return corpus


def make_plan(
    sources: Sources,
    recipe: TableRecipe,
    features: Sequence[str] = (),
    ignored: Sequence[str] = (),
    unmapped: Sequence[str] = (),
) -> tuple[Plan, TableRecipe]:
    """Return what to read, and the recipe with columns, label orders and notes completed.

    Arguments are those of `prepare_hf_table`.
    """
    for tables in sources.values():
        check_has_rows(*tables)
    first = next(iter(sources.values()))[0]
    check_has_columns(first)
    try:
        folders = map_features([c for c in first.columns if c not in ignored], features)
        others = [*ignored, *unmapped, *folders.values()]
        columns = map_columns(first.columns, recipe.columns, others)
    except ValueError as error:
        code = error.code if isinstance(error, CodedError) else ""
        raise CodedError(f"{first.path}: {error}", code) from None
    unasked = [field for field in TIMES if field in columns and field not in recipe.columns]
    if unasked and _holds_sound(first, columns["audio"]):
        columns = {field: name for field, name in columns.items() if field not in unasked}
    notes = [f"columns: {', '.join(f'{f}={c}' for f, c in columns.items()) or 'none'}"]
    notes += [f"features/{name}: column {column}" for name, column in folders.items()]
    if "id" not in columns:
        columns["id"] = ROW_ID
        notes.append("no column fills id: ids are made of split and row number")
    further = [*recipe.vote_columns.values(), *recipe.extra]
    further += [recipe.split_column] if recipe.split_column else []
    plan = Plan(columns, folders, further)
    for table in (table for tables in sources.values() for table in tables):
        available = {*table.columns, *(f"{name}.path" for name in table.columns), ROW_ID}
        if lacking := sorted({*columns.values(), *folders.values(), *further} - available):
            message = f"{table.path}: has no column {', '.join(lacking)}"
            raise CodedError(message, "column-missing")
    order = {key: _order(key, first, columns, recipe) for key in LABEL_COLUMNS}
    class_names = {key: first.class_names.get(columns.get(key, ""), ()) for key in LABEL_COLUMNS}
    unread = [name for name in first.columns if name not in {*plan.wanted, *ignored}]
    notes = [*recipe.notes, *notes]
    recipe = replace(
        recipe,
        columns=columns,
        label_order=order,
        class_names=class_names,
        notes=notes,
        unread=unread,
    )
    return plan, recipe


def _holds_sound(table: Table, column: str) -> bool:
    """Return whether the first audio of a table is the sound itself, which is a whole clip."""
    for row in table.rows({column}):
        try:
            sound = as_sound(row.cells.get(column))
        except ValueError:
            return False  # which is refused when the rows are read
        if sound is not None:
            return sound.content is not None
    return False


def _order(
    key: str, table: Table, columns: Mapping[str, str], recipe: TableRecipe
) -> Sequence[str]:
    """Return the given order, else that of the table's class names after the label map."""
    names = table.class_names.get(columns.get(key, ""), ())
    changes = recipe.label_map.get(key, {})
    kept = [name for name in names if key != "emotion" or name not in recipe.drop_labels]
    return recipe.label_order.get(key) or list(dict.fromkeys(changes.get(n, n) for n in kept))


def _name(tables: Sequence[Table]) -> Path:
    """Return the name of a split's tables in messages: the file, or the first and "..."."""
    first = tables[0].path
    return first if len(tables) == 1 else first.with_name(f"{first.name} ...")


def _with_audio_root(loaded: Iterable[Loaded], recipe: TableRecipe, out_dir: Path) -> TableRecipe:
    """Set the folder that audio paths start from: OUT_DIR for stored sounds."""
    parts = list(loaded)
    stored, named = sum(part.stored for part in parts), sum(part.named for part in parts)
    if stored and named:
        raise CodedError(
            f"{stored} rows contain their sound and {named} only name a file; prepare them apart, "
            "since audio paths start from one folder",
            "audio-mixed",
        )
    if named and recipe.data_raw is None:
        message = "audio is a path; give the folder that paths start from: --data-raw DIR"
        raise CodedError(message, "data-raw-missing")
    if stored:
        return replace(recipe, data_raw=out_dir, notes=[*recipe.notes, STORED_NOTE])
    return replace(recipe, data_raw=recipe.data_raw or out_dir)


# -- Columns: by the names that published tables use -----------------------------------------------

# Names of valence, arousal and dominance; a table has those of one line.
VAD_NAMES: Sequence[tuple[str, str, str]] = (
    ("valence", "arousal", "dominance"),
    ("valence", "arousal", "domination"),
    ("consensus_valence", "consensus_arousal", "consensus_dominance"),
    ("EmoVal", "EmoAct", "EmoDom"),
    ("V", "A", "D"),
)
# Field -> further names of its column; a column of the field's own name always fills it.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "text": ("transcript",),
    **{
        axis: tuple(dict.fromkeys(name for name in names if name != axis))
        for axis, names in zip(AXES, zip(*VAD_NAMES, strict=True), strict=True)
    },
}
TIMES = ("start", "end")  # of audio
SEGMENTS = {"file", *TIMES}  # audformat's index of segments; a "file" alone may be any
FEATURES = {"emotion2vec": "emotion2vec_features"}  # feature folder -> column


def map_columns(
    columns: Sequence[str], given: Mapping[str, str], ignored: Collection[str] = ()
) -> dict[str, str]:
    """Return {field: column}: the given ones, then columns of a known name.

    Raises CodedError if a given or ignored column does not exist, if two columns could fill a
    field, or if valence, arousal and dominance have names of different sets.
    """
    known = {*columns, *(f"{name}.path" for name in columns)}
    if absent := [name for name in (*given.values(), *ignored) if name not in known]:
        names = ", ".join(columns)
        raise CodedError(f"no column {', '.join(absent)}; there are {names}", "column-missing")
    taken = {*given.values(), *ignored}
    free = [name for name in columns if name not in taken]
    mapped = dict(given)
    if "audio" not in {*columns, *given} and set(free) >= SEGMENTS:
        mapped["audio"] = "file"
    for name in FIELDS:
        candidates = [alias for alias in (name, *ALIASES.get(name, ())) if alias in free]
        if name not in given and len(candidates) > 1:
            raise CodedError(
                f"{' and '.join(candidates)} could both be {name}; give "
                f"--column {name}={candidates[0]}, or --ignore {candidates[1]}",
                "column-ambiguous",
            )
        is_time_of_text = name in TIMES and "audio" not in mapped
        if name not in given and candidates and not is_time_of_text:
            mapped[name] = candidates[0]
    _check_one_set({axis: mapped[axis] for axis in AXES if axis in mapped and axis not in given})
    return mapped


def _check_one_set(axes: Mapping[str, str]) -> None:
    if not any(set(axes.values()) <= set(names) for names in VAD_NAMES):
        pairs = ", ".join(f"{axis}={column}" for axis, column in axes.items())
        raise CodedError(
            f"the axes have names of different sets ({pairs}); give them with --column",
            "column-ambiguous",
        )


def map_features(columns: Collection[str], given: Iterable[str]) -> dict[str, str]:
    """Return {feature folder: column}, from NAME=COLUMN, and of known feature columns."""
    folders = {name: column for name, column in FEATURES.items() if column in columns}
    pairs = [text.partition("=") for text in given]
    for name, equals, column in pairs:
        if not (name and equals and column) or "/" in name:
            message = f"--features {name}{equals}{column}: write NAME=COLUMN"
            raise CodedError(message, "option-malformed")
        if column not in columns:
            raise CodedError(f"--features {name}={column}: no such column", "column-missing")
        folders = {n: c for n, c in folders.items() if c != column} | {name: column}
    return folders


# -- Loading: plain rows, sounds as files, frames by id --------------------------------------------

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
        write_split(out_dir / "features" / name, split, rows, arrays, settings, content)
