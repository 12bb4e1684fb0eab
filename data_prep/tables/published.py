"""Prepare tables as `datasets` exports them, and audformat databases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.engines import Workers
from data_prep.errors import CodedError
from data_prep.schema import LABEL_COLUMNS, Corpus
from data_prep.tables.prepare import prepare_table
from data_prep.tables.published_cells import as_sound
from data_prep.tables.published_columns import TIMES, map_features, map_known_columns
from data_prep.tables.published_rows import ROW_ID, Loaded, Plan, load, write_features
from data_prep.tables.reader import check_has_columns, check_has_rows
from data_prep.tables.recipe import TableRecipe, check_recipe
from data_prep.tables.table import Table

STORED_NOTE = "audio was written into this folder"

Sources = Mapping[str, Sequence[Table]]  # split, or "" where it is a column -> its tables


def prepare_hf_table(
    sources: Sources,
    out_dir: str | Path,
    plan: Plan,
    recipe: TableRecipe,
    *,
    workers: Workers = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of `sources`, and the features that they hold.

    Args:
        sources: the tables of every split, all with the same columns.
        out_dir: the data dir.
        plan: of `make_plan`: what to read.
        recipe: of `make_plan`, completed.
        workers: an engine, or a number of threads, which decode audio.
        progress: whether that is shown.
    """
    out_dir = Path(out_dir)
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

    Args:
        sources: the tables of every split, all with the same columns.
        recipe: as of `table`; its `columns` are completed by known names.
        features: NAME=COLUMN for feature columns that have no known name.
        ignored: columns of known names that are not to be used.
        unmapped: columns that fill no field by their name, since their content does not.
    """
    for tables in sources.values():
        check_has_rows(*tables)
    first = next(iter(sources.values()))[0]
    check_has_columns(first)
    try:
        folders = map_features([c for c in first.columns if c not in ignored], features)
        others = [*ignored, *unmapped, *folders.values()]
        columns = map_known_columns(first.columns, recipe.columns, others)
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
