r"""Tables as `datasets` exports them, and audformat databases, as a data dir.

The same as `python -m data_prep.table`, with its options, but for this:
- TABLE may be a folder of train-00000-of-00002.parquet, validation.csv and the like,
  or of an audformat database (db.yaml), whose splits are those of its tables.
- A column of a known name fills its field unasked: a field's own name; transcript; valence, arousal
  and dominance as EmoVal, EmoAct, EmoDom or V, A, D; audformat's file, beside start and end.
  start and end are not read unasked where the table holds the sound of each row itself.
  --column has the last word, --ignore takes a column out, and corpus.yaml says what filled what.
  VAD needs its scale, such as --vad-scale 1 5.
- Audio may be a struct {bytes, path}: bytes are written to OUT_DIR/audio; a path alone starts from
  --data-raw. "audio.path" is a column too, such as for --column id=audio.path.
- emotion2vec_features, a list of numbers (one vector) or of lists (frames), is written to
  OUT_DIR/features/emotion2vec; --features NAME=COLUMN does the same for others.
- Numbers of a class column get the names, and the order, that the file tells.
- Without a column of ids they are made of split and row number: train_000001.

For instance:
  python -m data_prep.hf_table exported/ data/mine --name mine --vad-scale 1 5

Parquet needs pyarrow, audformat databases the package audformat.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.commands.command_line import run
from data_prep.commands.table import prepare_table
from data_prep.schema import LABEL_COLUMNS, Corpus
from data_prep.tables.audformat import HEADER, open_audformat
from data_prep.tables.options import recipe_of, table_parser, tables_of
from data_prep.tables.published import (
    ROW_ID,
    TIMES,
    Loaded,
    Plan,
    as_sound,
    find_shards,
    load,
    map_columns,
    map_features,
    write_features,
)
from data_prep.tables.reader import Table, check_has_columns, check_has_rows, open_table
from data_prep.tables.rows import TableRecipe, check_recipe

STORED_NOTE = "audio was written into this folder: train without --data-raw"

Sources = Mapping[str, Sequence[Table]]  # split, or "" where rows say it -> its tables


def prepare_hf_table(
    sources: Sources,
    out_dir: str | Path,
    recipe: TableRecipe,
    *,
    features: Sequence[str] = (),
    ignored: Sequence[str] = (),
    workers: int | None = None,
    progress: bool = False,
) -> Corpus:
    """Write the data dir of `sources`, and the features that they hold.

    Args:
        sources: the tables of every split, all with the same columns.
        out_dir: the data dir.
        recipe: as of `table`; its `columns` are completed by known names.
        features: NAME=COLUMN for feature columns that have no known name.
        ignored: columns of known names that are not to be used.
        workers: threads that decode audio.
        progress: whether that is shown.
    """
    out_dir = Path(out_dir)
    plan, recipe = _plan(sources, recipe, features, ignored)
    paths = {split: _name(tables) for split, tables in sources.items()}
    check_recipe(replace(recipe, data_raw=recipe.data_raw or out_dir), paths)
    loaded = {split: load(tables, split, plan, out_dir) for split, tables in sources.items()}
    if "audio" in plan.columns:
        recipe = _with_audio_root(loaded.values(), recipe, out_dir)
    rows_of = {paths[split]: found.rows for split, found in loaded.items()}
    corpus = prepare_table(
        paths,
        out_dir,
        recipe,
        read=lambda path, wanted, recipe: rows_of[path],
        workers=workers,
        progress=progress,
    )
    for name, column in plan.features.items():
        frames = {id_: a for found in loaded.values() for id_, a in found.frames[name].items()}
        write_features(out_dir, corpus, name, column, frames)
    return corpus


def _plan(
    sources: Sources, recipe: TableRecipe, features: Sequence[str], ignored: Sequence[str]
) -> tuple[Plan, TableRecipe]:
    """What to read, and the recipe with its columns, label orders and notes completed."""
    for tables in sources.values():
        check_has_rows(*tables)
    first = next(iter(sources.values()))[0]
    check_has_columns(first)
    try:
        folders = map_features([c for c in first.columns if c not in ignored], features)
        columns = map_columns(first.columns, recipe.columns, [*ignored, *folders.values()])
    except ValueError as error:
        raise ValueError(f"{first.path}: {error}") from None
    unasked = [field for field in TIMES if field in columns and field not in recipe.columns]
    if unasked and _holds_sound(first, columns["audio"]):
        columns = {field: name for field, name in columns.items() if field not in unasked}
    notes = [f"columns: {', '.join(f'{f}={c}' for f, c in columns.items()) or 'none'}"]
    notes += [f"features/{name}: column {column}" for name, column in folders.items()]
    if "id" not in columns:
        columns["id"] = ROW_ID
        notes.append("no column fills id: ids are made of split and row number")
    further = [*recipe.extra, *([recipe.split_column] if recipe.split_column else [])]
    plan = Plan(columns, folders, further)
    for table in (table for tables in sources.values() for table in tables):
        there = {*table.columns, *(f"{name}.path" for name in table.columns), ROW_ID}
        if lacking := sorted({*columns.values(), *folders.values(), *further} - there):
            raise ValueError(f"{table.path}: has no column {', '.join(lacking)}")
    order = {key: _order(key, first, columns, recipe) for key in LABEL_COLUMNS}
    names = {key: first.class_names.get(columns.get(key, ""), ()) for key in LABEL_COLUMNS}
    unread = [name for name in first.columns if name not in {*plan.wanted, *ignored}]
    notes = [*recipe.notes, *notes]
    recipe = replace(
        recipe, columns=columns, label_order=order, class_names=names, notes=notes, unread=unread
    )
    return plan, recipe


def _holds_sound(table: Table, column: str) -> bool:
    """Whether the first audio of a table is the sound itself: a clip, whose times are elsewhere."""
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
    """The order given, else that of the table's own class names, as the label map has them."""
    told = table.class_names.get(columns.get(key, ""), ())
    changes = recipe.label_map.get(key, {})
    kept = [name for name in told if key != "emotion" or name not in recipe.drop_labels]
    return recipe.label_order.get(key) or list(dict.fromkeys(changes.get(n, n) for n in kept))


def _name(tables: Sequence[Table]) -> Path:
    """What messages call the tables of one split: the file, or the first of several and "..."."""
    first = tables[0].path
    return first if len(tables) == 1 else first.with_name(f"{first.name} ...")


def _with_audio_root(loaded: Iterable[Loaded], recipe: TableRecipe, out_dir: Path) -> TableRecipe:
    """The recipe with the folder that audio paths start from: OUT_DIR where sounds were stored."""
    found = list(loaded)
    stored, named = sum(part.stored for part in found), sum(part.named for part in found)
    if stored and named:
        raise ValueError(
            f"{stored} rows hold their sound and {named} only name a file; prepare them apart, "
            "since audio paths start from one folder"
        )
    if named and recipe.data_raw is None:
        raise ValueError("audio is a path; say with --data-raw DIR where paths start")
    if stored:
        return replace(recipe, data_raw=out_dir, notes=[*recipe.notes, STORED_NOTE])
    return replace(recipe, data_raw=recipe.data_raw or out_dir)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of `prepare_hf_table`."""
    parser = table_parser(__doc__ or "")
    parser.prog = "python -m data_prep.hf_table"
    add = parser.add_argument_group("published tables").add_argument
    features = "feature column to write to features/NAME (default: emotion2vec_features, if there)"
    add("--features", action="append", default=[], metavar="NAME=COLUMN", help=features)
    add("--ignore", action="append", default=[], metavar="COLUMN", help="column not to use")
    names = "of an audformat database (default: all)"
    add("--tables", dest="table_names", nargs="+", default=[], metavar="TABLE", help=names)
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    recipe = recipe_of(options)
    sources, recipe = _open(options, recipe)
    corpus = prepare_hf_table(
        sources,
        options.out_dir,
        recipe,
        features=options.features,
        ignored=options.ignore,
        workers=options.workers,
        progress=True,
    )
    named = any(counts["with_audio"] for counts in corpus.splits.values())
    elsewhere = named and recipe.data_raw != options.out_dir and STORED_NOTE not in corpus.notes
    raw = f" --data-raw {recipe.data_raw}" if elsewhere else ""
    print(f"train with: --data {options.out_dir}{raw}")


def _open(options: argparse.Namespace, recipe: TableRecipe) -> tuple[Sources, TableRecipe]:
    """The tables by split, or all as "" where the splits come from the rows or are drawn."""
    paths = tables_of(options.tables)
    folder = paths.get("")
    sources: Sources
    if folder is None or len(paths) > 1 or not folder.is_dir():
        return {split: [open_table(path, recipe.format)] for split, path in paths.items()}, recipe
    if (folder / HEADER).is_file():
        sources, recipe = open_audformat(folder, options.table_names, recipe)
    else:
        shards = find_shards(folder).items()
        sources = {
            split: [open_table(path, recipe.format) for path in found] for split, found in shards
        }
    if recipe.split_by or recipe.split_column:
        sources = {"": [table for tables in sources.values() for table in tables]}
    return sources, recipe
