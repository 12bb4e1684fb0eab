"""Options of the preparation of tables: of `data_prep.table`, and of `emotion-recognize train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.manifest.out_of_scale import add_out_of_scale
from data_prep.schema import SPLITS

if TYPE_CHECKING:
    pass

_GROUPS = ("speaker", "dialogue", "session", "row")
_APART = ("speaker", "dialogue")


def add_preparation_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe a table: its format, columns, labels and splits.

    An option that the parser has already is left as it is.
    """
    _add_format(_Group(parser, "table format (default: detected)"))
    _add_columns(_Group(parser, "columns and audio"))
    _add_labels(_Group(parser, "labels"))
    _add_splits(_Group(parser, "splits"))


class _Group:
    """Adds options to a group of a parser, but those that the parser has."""

    def __init__(self, parser: argparse.ArgumentParser, title: str) -> None:
        self._group = parser.add_argument_group(title)
        self._known = parser._option_string_actions

    def add_argument(self, *names: str, **settings: Any) -> None:
        if not any(name in self._known for name in names):
            self._group.add_argument(*names, **settings)


def _add_format(group: _Group) -> None:
    add = group.add_argument
    add("--name", metavar="NAME", help="name of the corpus (default: that of the table)")
    add("--delimiter", metavar="C", help="character between cells, or 'tab'")
    add("--encoding", metavar="NAME", help="encoding, such as utf-8, cp1252 or utf-16")
    add("--no-quotes", action="store_true", help="read quotes as plain characters")
    header = "whether the first row has the names of the columns; if not, they are 1, 2, ..."
    add("--header", choices=("yes", "no"), help=header)
    add(
        "--decimal",
        choices=(".", ","),
        type=lambda word: {"comma": ",", "point": "."}.get(word.lower(), word),
        metavar="C",
        help="decimal separator of numbers: point or comma",
    )
    add("--sheet", metavar="NAME", help="sheet of a spreadsheet (default: the first)")
    add(
        "--missing",
        action="append",
        default=[],
        metavar="VALUE",
        help="value that means empty, such as n/a (repeat for more)",
    )
    add("--license", default="", metavar="TEXT", help="license, written to corpus.yaml")
    add("--citation", default="", metavar="TEXT", help="citation, written to corpus.yaml")


def _add_columns(group: _Group) -> None:
    add = group.add_argument
    column = "column of a field, such as emotion=label; FIELD= for none (repeat for more)"
    add("--column", action="append", default=[], metavar="FIELD=COLUMN", help=column)
    votes = (
        "column with the number of annotators who chose an emotion, or `other` (repeat for more); "
        "without a column of emotions, the emotion is the majority"
    )
    add("--vote-column", action="append", default=[], metavar="LABEL=COLUMN", help=votes)
    add(
        "--extra",
        action="append",
        default=[],
        metavar="COLUMN",
        help="column to keep as it is (repeat for more)",
    )
    add("--normalize-text", action="store_true", help="repair mojibake, curly quotes, dashes")
    add(
        "--data-raw",
        type=Path,
        metavar="DIR",
        help="folder that paths of audio are relative to (default: found beside the table)",
    )
    bad = "leave out files that cannot be read, and list them, instead of stopping"
    add("--drop-bad-audio", action="store_true", help=bad)
    features = (
        "folder of features with a file ID.npy for each row, which the data dir links to as "
        "features:NAME (repeat for more)"
    )
    add("--feature-files", action="append", default=[], metavar="NAME=FOLDER", help=features)
    scale = "lowest and highest rating of valence, arousal and dominance, such as 1 5"
    add("--vad-scale", type=float, nargs=2, metavar=("LOW", "HIGH"), help=scale)
    add_out_of_scale(group)


def _add_labels(group: _Group) -> None:
    add = group.add_argument
    add(
        "--label-order",
        type=_names,
        default=[],
        metavar="A,B",
        help="emotions, in the order of the classes",
    )
    add(
        "--sentiment-order",
        type=_names,
        default=[],
        metavar="A,B",
        help="sentiments, in the order of the classes",
    )
    add(
        "--label-map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename or join emotions, such as exc=happy (repeat for more)",
    )
    add(
        "--sentiment-map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename or join sentiments",
    )
    add(
        "--drop-label",
        action="append",
        default=[],
        metavar="OLD",
        help="leave out the rows of an emotion (repeat for more)",
    )


def _add_splits(group: _Group) -> None:
    add = group.add_argument
    add("--split-column", metavar="COLUMN", help="column that holds train, valid or test")
    add(
        "--split-map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename splits, such as dev=valid",
    )
    add(
        "--split-by",
        choices=_GROUPS,
        help="draw the splits at random, and keep each of these whole",
    )
    valid, test = (
        f"share of rows in {name} that is drawn (default: %(default)s)" for name in SPLITS[1:]
    )
    add("--valid-fraction", type=float, default=0.1, metavar="X", help=valid)
    add("--test-fraction", type=float, default=0.2, metavar="X", help=test)
    add(
        "--split-seed",
        type=int,
        default=1,
        metavar="N",
        help="seed of the draw (default: %(default)s)",
    )
    apart = "refuse splits that share one of these (implied by --split-by)"
    add("--disjoint", action="append", default=[], choices=_APART, help=apart)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError(f"{text}: write each name once, with commas between")
    return names
