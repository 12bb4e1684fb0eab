"""The command line of a corpus of the registry: ``python -m data_prep.<corpus>``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from data_prep.command_line import (
    make_parser,
    run,
)
from data_prep.corpora.registry import CORPORA, Recipe
from data_prep.engines.options import take_engine
from data_prep.files.remote import require_local
from data_prep.folds.records import ALL
from data_prep.next_commands import print_next
from data_prep.schema import Corpus


def main(corpus: str, arguments: Sequence[str] | None = None) -> int:
    """Prepare a corpus, and print the command that trains on it."""
    recipe = CORPORA[corpus]
    parser = make_parser(corpus, recipe.description or "", audio=recipe.reads_audio)
    if recipe.needs:
        parser.add_argument("corpus_dir", type=Path, help=recipe.needs)
    parser.add_argument("out_dir", type=Path, help="data dir to write")
    recipe.add_arguments(parser)
    options = parser.parse_args(arguments)
    return run(lambda: _prepare(recipe, options))


def _prepare(recipe: Recipe, options: argparse.Namespace) -> None:
    for name in ("corpus_dir", "out_dir"):
        require_local(getattr(options, name, ""), name.upper())
    engine = {"workers": take_engine(options), "progress": True} if recipe.reads_audio else {}
    corpus = recipe.prepare(**vars(options), **engine)
    print_next(f"train with: {shlex.join(train_words(recipe, corpus, options))}")


def train_words(recipe: Recipe, corpus: Corpus, options: argparse.Namespace) -> list[str]:
    """Return the command that trains on a prepared corpus, on all folds where it is not split."""
    words = ["emotion-recognize", "train", str(options.out_dir)]
    if recipe.target:
        words += ["--target", recipe.target]
    if not any(counts["with_audio"] for counts in corpus.splits.values()):
        words += ["--modality", "text"]
    if ALL in corpus.splits and corpus.folds:
        words += ["--fold", next(iter(corpus.folds))]
    return words
