r"""Prepare your own corpus: a table with a row for each recording or text.

TABLE is a CSV, TSV, text, Parquet, JSON lines, .xlsx or .ods file. What is not given is inferred,
and printed: delimiter, encoding, header and decimal separator; which column fills which field, by
its name (in English, German, French or Spanish) and by what it holds; the folder of the audio; and
the splits, by a column of them, else drawn by speaker, by dialogue, or by row. Never inferred: the
meaning of a label, the scale of valence, arousal and dominance, a value that means a missing one.
Everything that is missing is listed at once, with the command that would work, and every row that
cannot be used is named with its line. Fields that --column can fill, FIELD= for none:
  id (made of file names without one), text and/or audio (one needed), start and end (of a segment
  of the audio: seconds as 1.5, HH:MM:SS.fff or 0 days 00:00:01.5; empty: from its beginning, to its
  end), speaker, session, dialogue, turn, emotion, sentiment, valence, arousal, dominance,
  sentiment_score, corpus, votes (such as angry:2 sad:1; or a column of counts for each emotion, by
  --vote-column), n_annotators, valence_sd, arousal_sd, dominance_sd, split.
Splits come from one of: a column (--split-column), whole speakers, dialogues or sessions or single
rows drawn at random (--split-by), or one table a split (train=a.csv valid=b.csv test=c.csv). For
cross-validation the rows stay in one split (all=TABLE), which `python -m data_prep.folds` divides.

For instance:
  python -m data_prep.table labels.csv data/mine
  python -m data_prep.table calls.csv data/calls --name calls \
    --column id=utt --column text=transcript --column audio=wav --data-raw recordings \
    --column speaker=caller --column emotion=label --label-order neutral,angry,glad \
    --split-by speaker --valid-fraction 0.1 --test-fraction 0.2 --split-seed 1
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.engines.options import take_engine
from data_prep.files.remote import require_local
from data_prep.folds.records import ALL
from data_prep.next_commands import print_next
from data_prep.schema import Corpus
from data_prep.tables.decisions import infer_recipe, render
from data_prep.tables.given_options import tables_of
from data_prep.tables.options import add_preparation_options
from data_prep.tables.prepare import prepare_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of `prepare_table`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = table_parser(__doc__ or "").parse_args(words)
    return run(lambda: _prepare(options, ["python", "-m", "data_prep.table", *words]))


def _prepare(options: argparse.Namespace, command: Sequence[str]) -> None:
    engine = take_engine(options)
    require_local(options.out_dir, "OUT_DIR")
    tables = tables_of(options.tables)
    inference = infer_recipe(tables, options, command)
    print(*render(inference), sep="\n")
    corpus = prepare_table(tables, options.out_dir, inference.recipe, workers=engine, progress=True)
    print_next_step(corpus, options.out_dir)


def print_next_step(corpus: Corpus, out_dir: Path) -> None:
    """Print the command that uses a new data dir: a training, or the folds of the split `all`."""
    data = shlex.quote(str(out_dir))
    if ALL in corpus.splits:
        print_next(
            f"make folds with: python -m data_prep.folds {data} --protocol k_fold",
            f"train on all of them with: emotion-recognize train {data} --fold k_fold",
        )
    else:
        print_next(f"train with: emotion-recognize train {data}")


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
