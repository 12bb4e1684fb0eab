r"""Prepare your own corpus: any CSV, TSV, Parquet or JSON lines, and the meaning of its columns.

Nothing is guessed: a column is used only if --column or --extra names it, VAD only with its scale,
audio only with the folder that its paths start from. Every row that cannot be used is named with
its line. Fields that --column can fill:
  id (needed), text and/or audio (one needed), start and end (of a segment of the audio: seconds as
  1.5, HH:MM:SS.fff or 0 days 00:00:01.5; empty: from its beginning, to its end), speaker, session,
  dialogue, turn, emotion, sentiment, valence, arousal, dominance, sentiment_score, corpus.
Splits come from one of: a column (--split-column), whole speakers, dialogues or sessions or single
rows drawn at random (--split-by), or one table a split (train=a.csv valid=b.csv test=c.csv). For
cross-validation the rows stay in one split (all=TABLE), which `python -m data_prep.folds` divides.

For instance:
  python -m data_prep.table calls.csv data/calls --name calls \
    --column id=utt --column text=transcript --column audio=wav --data-raw recordings \
    --column speaker=caller --column emotion=label --label-order neutral,angry,glad \
    --split-by speaker --valid-fraction 0.1 --test-fraction 0.2 --seed 1
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.folds.records import ALL
from data_prep.schema import Corpus
from data_prep.sources import corpus_name
from data_prep.tables.options import add_preparation_options, recipe_of, tables_of
from data_prep.tables.prepare import prepare_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of `prepare_table`."""
    options = table_parser(__doc__ or "").parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    tables = tables_of(options.tables)
    options.name = options.name or corpus_name(next(iter(tables.values())).stem)
    recipe = recipe_of(options)
    corpus = prepare_table(tables, options.out_dir, recipe, workers=options.workers, progress=True)
    print_next_step(corpus, options.out_dir)


def print_next_step(corpus: Corpus, out_dir: Path) -> None:
    """Print the command that uses a new data dir: a training, or the folds of the split `all`."""
    data = shlex.quote(str(out_dir))
    if ALL in corpus.splits:
        print(f"make folds with: python -m data_prep.folds {data} --protocol k_fold")
    else:
        print(f"train with: --data {data}")


def table_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m data_prep.table`."""
    parser = make_parser("table", description)
    add = parser.add_argument
    tables = "a table, SPLIT=TABLE for each of train, valid and test, or all=TABLE"
    add("tables", nargs="+", metavar="TABLE", help=tables)
    add("out_dir", type=Path, metavar="OUT_DIR", help="data dir to write")
    parser.add_argument("--seed", type=int, dest="split_seed", help=argparse.SUPPRESS)
    add_preparation_options(parser)
    parser.set_defaults(split_seed=1)
    return parser
