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
from data_prep.errors import CodedError
from data_prep.folds.records import ALL
from data_prep.schema import SPLITS, Corpus
from data_prep.tables.prepare import prepare_table
from data_prep.tables.reader import TableFormat
from data_prep.tables.rows import GROUPS, TableRecipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line of `prepare_table`."""
    options = table_parser(__doc__ or "").parse_args(arguments)
    return run(lambda: _prepare(options))


def _prepare(options: argparse.Namespace) -> None:
    tables = tables_of(options.tables)
    recipe = recipe_of(options)
    corpus = prepare_table(tables, options.out_dir, recipe, workers=options.workers, progress=True)
    print_next_step(corpus, options.out_dir, options.data_raw)


def print_next_step(corpus: Corpus, out_dir: Path, data_raw: Path | None) -> None:
    """Print the command that uses a new data dir: a training, or the folds of the split `all`."""
    raw = f" --data-raw {shlex.quote(str(data_raw))}" if data_raw else ""
    data = shlex.quote(str(out_dir))
    if ALL in corpus.splits:
        print(f"make folds with: python -m data_prep.folds {data} --protocol k_fold{raw}")
    else:
        print(f"train with: --data {data}{raw}")


# -- Options, shared with `hf_table` ---------------------------------------------------------------


def recipe_of(options: argparse.Namespace) -> TableRecipe:
    """Return the recipe of the options. Raises CodedError for a malformed LEFT=RIGHT."""
    return TableRecipe(
        name=options.name,
        columns=_pairs("--column", options.column),
        extra=options.extra,
        format=TableFormat(
            {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter),
            options.encoding,
            quotes=not options.no_quotes,
        ),
        missing=options.missing,
        normalize=options.normalize_text,
        label_order={"emotion": options.label_order, "sentiment": options.sentiment_order},
        label_map={
            "emotion": _pairs("--label-map", options.label_map),
            "sentiment": _pairs("--sentiment-map", options.sentiment_map),
        },
        drop_labels=options.drop_label,
        vad_scale=tuple(options.vad_scale) if options.vad_scale else None,
        data_raw=options.data_raw,
        drop_bad_audio=options.drop_bad_audio,
        split_column=options.split_column,
        split_map=_pairs("--split-map", options.split_map),
        split_by=options.split_by,
        fractions={"test": options.test_fraction, "valid": options.valid_fraction},
        seed=options.seed,
        disjoint=options.disjoint,
        licence=options.licence,
        citation=options.citation,
    )


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """["exc=happy"] -> {"exc": "happy"}."""
    pairs: dict[str, str] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        if not (left and equals and right) or left in pairs:
            message = f"{option} {text}: write LEFT=RIGHT, each left side once"
            raise CodedError(message, "option-malformed")
        pairs[left] = right
    return pairs


def tables_of(texts: Sequence[str]) -> dict[str, Path]:
    """["a.csv"] -> {"": a.csv}; ["train=a.csv", "test=b.csv"] -> {"train": a.csv, ...}."""
    tables: dict[str, Path] = {}
    for text in texts:
        split, equals, path = text.partition("=")
        if not (equals and split in (*SPLITS, ALL)):
            split, path = "", text
        if split in tables:
            message = f"{text}: a second table for {split or 'the splits'}; join them"
            raise CodedError(message, "option-malformed")
        tables[split] = Path(path)
    return tables


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"{text}: write each name once, with commas between")
    return names


def table_parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of `python -m data_prep.table`."""
    parser = make_parser("table", description)
    add = parser.add_argument
    tables = "a table, SPLIT=TABLE for each of train, valid and test, or all=TABLE"
    add("tables", nargs="+", metavar="TABLE", help=tables)
    add("out_dir", type=Path, metavar="OUT_DIR", help="data dir to write")
    add("--name", required=True, help="name of the corpus")
    add("--column", action="append", default=[], metavar="FIELD=COLUMN", help="repeat per field")
    add("--extra", action="append", default=[], metavar="COLUMN", help="column to keep as it is")
    add("--delimiter", help="between fields; 'tab' for tabs (default: by .csv or .tsv)")
    add("--encoding", default="utf-8-sig", help="of the table (default: UTF-8)")
    add("--no-quotes", action="store_true", help="quotes are plain characters, and enclose no cell")
    add("--missing", action="append", default=[], metavar="VALUE", help="value that means empty")
    add("--normalize-text", action="store_true", help="repair mojibake, curly quotes, dashes")
    add("--data-raw", type=Path, metavar="DIR", help="folder that audio paths start from")
    add(
        "--drop-bad-audio", action="store_true", help="drop and list bad files, instead of an error"
    )
    add("--vad-scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help="such as 1 5")

    labels = parser.add_argument_group("labels")
    add = labels.add_argument
    add("--label-order", type=_names, default=[], metavar="A,B", help="emotions, in class order")
    add("--sentiment-order", type=_names, default=[], metavar="A,B", help="the same, sentiments")
    add("--label-map", action="append", default=[], metavar="OLD=NEW", help="such as exc=happy")
    add("--sentiment-map", action="append", default=[], metavar="OLD=NEW", help="for sentiments")
    add("--drop-label", action="append", default=[], metavar="OLD", help="emotion to leave out")

    splits = parser.add_argument_group("splits")
    add = splits.add_argument
    add("--split-column", metavar="COLUMN", help="column that says train, valid or test")
    add("--split-map", action="append", default=[], metavar="OLD=NEW", help="such as dev=valid")
    add("--split-by", choices=GROUPS, help="keep each of these whole, and draw at random")
    add("--valid-fraction", type=float, default=0.1, help="of the rows (default: %(default)s)")
    add("--test-fraction", type=float, default=0.2, help="of the rows (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the draw (default: %(default)s)")
    add(
        "--disjoint",
        action="append",
        default=[],
        choices=("speaker", "dialogue"),
        help="what no two splits may share, if the splits are not drawn by it",
    )
    about = parser.add_argument_group("about the corpus")
    about.add_argument("--licence", default="", help="kept in corpus.yaml")
    about.add_argument("--citation", default="", help="kept in corpus.yaml")
    return parser
