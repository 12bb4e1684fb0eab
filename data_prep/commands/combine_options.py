"""The command line of `combine`, as a parser and as what its options spell."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.commands.combine_labels import (
    OPTIONS,
    parse_maps,
)
from data_prep.commands.command_line import make_parser


def combine_parser(description: str) -> argparse.ArgumentParser:
    """The parser of `python -m data_prep.combine`."""
    parser = make_parser("combine", description, audio=False)
    add = parser.add_argument
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "default": []}
    add("out_dir", type=Path, metavar="OUT_DIR", help="data dir to write")
    add("data_dirs", type=Path, nargs="+", metavar="DATA_DIR", help="two data dirs or more")
    for column, option in OPTIONS.items():
        what = f"{column} FROM becomes TO; with nothing after = its rows are dropped"
        add(option, dest=column, metavar="CORPUS:FROM=TO", help=what, **many)
    splits = "which splits to join, of every corpus or of one (default: all that there are)"
    add("--splits", metavar="[CORPUS:]SPLIT,SPLIT", help=splits, **many)
    raw = "folder that this corpus's audio paths start from (default: its data dir)"
    add("--data-raw", metavar="CORPUS=DIR", help=raw, **many)
    return parser


def maps_of(options: argparse.Namespace) -> dict[str, dict[str, dict[str, str]]]:
    """The label maps that the parsed options spell: column -> corpus -> label -> label."""
    return {
        column: parse_maps(option, getattr(options, column)) for column, option in OPTIONS.items()
    }


def splits_of(texts: Sequence[str]) -> dict[str, list[str]]:
    """["train,valid", "meld:test"] -> {"": ["train", "valid"], "meld": ["test"]}."""
    splits: dict[str, list[str]] = {}
    for text in texts:
        corpus, colon, names = text.rpartition(":")
        found = names.split(",")
        if bool(corpus) != bool(colon) or not all(found) or corpus in splits:
            raise ValueError(
                f"--splits {text}: write SPLIT,SPLIT or CORPUS:SPLIT,SPLIT, each corpus once"
            )
        splits[corpus] = found
    return splits


def folders_of(texts: Sequence[str]) -> dict[str, Path]:
    """["meld=corpora/MELD"] -> {"meld": corpora/MELD}."""
    folders: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in folders:
            raise ValueError(f"--data-raw {text}: write CORPUS=DIR, each corpus once")
        folders[name] = Path(folder)
    return folders
