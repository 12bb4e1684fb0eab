r"""Prepare tables as `datasets` exports them, and audformat databases.

Like `python -m data_prep.table`, with its options, but:
- TABLE may be a folder of train-00000-of-00002.parquet, validation.csv and the like, one that
  `save_to_disk` wrote, a name of the hub (hf:org/name, or hf:org/name/configuration), or a folder
  of an audformat database (db.yaml), whose splits are those of its tables.
- A column of a known name fills its field by default: a field's own name; transcript; valence,
  arousal and dominance as consensus_valence, consensus_arousal, consensus_dominance, as EmoVal,
  EmoAct, EmoDom or as V, A, D; domination for dominance; audformat's file, beside start and end.
  start and end are not read by default if the table contains the sound of each row itself.
  --column overrides, --ignore excludes a column, and corpus.yaml notes which column filled what.
  VAD needs its scale, such as --vad-scale 1 5.
- Audio may be a struct {bytes, path}: bytes are written to OUT_DIR/audio; a path alone starts from
  --data-raw. "audio.path" is a column too, such as for --column id=audio.path.
- emotion2vec_features, a list of numbers (one vector) or of lists (frames), or FunASR's result
  [{"feats": ...}] with either, is written to OUT_DIR/features/emotion2vec; --features NAME=COLUMN
  does the same for others.
- Numbers of a class column get the names, and the order, that the file declares.
- Without a column of ids they are made of split and row number: train_000001.

For instance:
  python -m data_prep.hf_table exported/ data/mine --name mine --vad-scale 1 5

Parquet needs pyarrow, audformat databases the package audformat.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from data_prep.command_line import run
from data_prep.commands.table import print_next_step, table_parser
from data_prep.engines.options import take_engine
from data_prep.files.remote import require_local
from data_prep.schema import AXES
from data_prep.tables.audformat import HEADER, open_audformat
from data_prep.tables.completed_recipe import Inference
from data_prep.tables.datasets_table import HUB, is_saved_dataset, open_hub, open_saved
from data_prep.tables.decisions import given_options_of, raise_decisions, render
from data_prep.tables.given_options import corpus_name, recipe_of, tables_of
from data_prep.tables.inference import infer_opened
from data_prep.tables.published import Sources, make_plan, prepare_hf_table
from data_prep.tables.published_rows import ROW_ID
from data_prep.tables.reader import open_table
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.shards import find_shards


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of `prepare_hf_table`."""
    parser = table_parser(__doc__ or "")
    parser.prog = "python -m data_prep.hf_table"
    add = parser.add_argument_group("published tables").add_argument
    features = "feature column to write to features/NAME (default: emotion2vec_features, if there)"
    add("--features", action="append", default=[], metavar="NAME=COLUMN", help=features)
    add("--ignore", action="append", default=[], metavar="COLUMN", help="column not to use")
    names = "of an audformat database (default: all)"
    add("--tables", dest="table_names", nargs="+", default=[], metavar="TABLE", help=names)
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(words)
    return run(lambda: _prepare(options, ["python", "-m", "data_prep.hf_table", *words]))


def _prepare(options: argparse.Namespace, command: Sequence[str]) -> None:
    engine = take_engine(options)
    require_local(options.out_dir, "OUT_DIR")
    paths = tables_of(options.tables)
    options.name = options.name or corpus_name(next(iter(paths.values())).stem)
    recipe = recipe_of(options)
    sources, recipe = _open(options, recipe)
    inference = infer_opened(sources, recipe, given_options_of(options), options.ignore)
    raise_decisions(paths, inference, command)
    recipe, unmapped = inference.recipe, _left_out(inference, options.ignore)
    plan, completed = make_plan(sources, recipe, options.features, options.ignore, unmapped)
    shown = {field: name for field, name in plan.columns.items() if name != ROW_ID}
    inference.recipe = replace(completed, columns=shown)
    made_of = "split and row number"
    print(*render(inference, features=plan.features, ids_made_of=made_of), sep="\n")
    corpus = prepare_hf_table(
        sources, options.out_dir, plan, completed, workers=engine, progress=True
    )
    print_next_step(corpus, options.out_dir)


def _left_out(inference: Inference, ignored: Sequence[str]) -> list[str]:
    """Return the columns of valence, arousal and dominance that the inference has left out."""
    if inference.recipe.vad_scale is not None:
        return []
    used = {*inference.recipe.columns.values(), *ignored}
    return [name for name in AXES if name in inference.contents and name not in used]


def _open(options: argparse.Namespace, recipe: TableRecipe) -> tuple[Sources, TableRecipe]:
    """Open the tables by split, or all as "" if splits come from the rows or are drawn."""
    paths = tables_of(options.tables)
    folder = paths.get("")
    sources: Sources
    if folder is not None and str(folder).startswith(HUB):
        sources = open_hub(str(folder))
        return _joined(sources, recipe), recipe
    if folder is None or len(paths) > 1 or not folder.is_dir():
        return {split: [open_table(path, recipe.format)] for split, path in paths.items()}, recipe
    if is_saved_dataset(folder):
        sources = open_saved(folder)
    elif (folder / HEADER).is_file():
        sources, recipe = open_audformat(folder, options.table_names, recipe)
    else:
        shards = find_shards(folder).items()
        sources = {
            split: [open_table(path, recipe.format) for path in files] for split, files in shards
        }
    return _joined(sources, recipe), recipe


def _joined(sources: Sources, recipe: TableRecipe) -> Sources:
    """Return the tables of all splits as "" if splits come from the rows or are drawn."""
    if recipe.split_by or recipe.split_column:
        return {"": [table for tables in sources.values() for table in tables]}
    return sources
