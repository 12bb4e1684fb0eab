"""From the options of a table to its recipe, and back to a command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.errors import CodedError
from data_prep.folds.records import ALL
from data_prep.schema import SPLITS
from data_prep.tables.options import add_preparation_options

if TYPE_CHECKING:
    from data_prep.tables.recipe import TableRecipe


def recipe_of(options: argparse.Namespace) -> TableRecipe:
    """Return the recipe of the options. Raises CodedError for a malformed LEFT=RIGHT."""
    from data_prep.tables.recipe import TableRecipe
    from data_prep.tables.table import TableFormat

    columns = {field: name for field, name in columns_of(options).items() if name}
    return TableRecipe(
        name=options.name or "",
        split_column=columns.pop("split", None),
        columns=columns,
        vote_columns=pairs_of("--vote-column", options.vote_column),
        extra=options.extra,
        format=TableFormat(
            {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter),
            options.encoding or "utf-8-sig",
            quotes=not options.no_quotes,
            header=options.header != "no",
            decimal=options.decimal or ".",
            sheet=options.sheet,
        ),
        missing=options.missing,
        normalize=options.normalize_text,
        label_order={"emotion": options.label_order, "sentiment": options.sentiment_order},
        label_map={
            "emotion": pairs_of("--label-map", options.label_map),
            "sentiment": pairs_of("--sentiment-map", options.sentiment_map),
        },
        drop_labels=options.drop_label,
        vad_scale=tuple(options.vad_scale) if options.vad_scale else None,
        out_of_scale=options.out_of_scale,
        data_raw=options.data_raw,
        drop_bad_audio=options.drop_bad_audio,
        features={
            name: Path(folder)
            for name, folder in pairs_of("--feature-files", options.feature_files).items()
        },
        split_map=pairs_of("--split-map", options.split_map),
        split_by=options.split_by,
        fractions={"test": options.test_fraction, "valid": options.valid_fraction},
        seed=options.split_seed,
        disjoint=options.disjoint,
        license=options.license,
        citation=options.citation,
    )


def columns_of(options: argparse.Namespace) -> dict[str, str]:
    """Return {field: column} of --column and --split-column, "" for a field that none fills.

    "split" is a field among them.
    """
    columns = pairs_of("--column", options.column, may_be_empty=True)
    split_column = getattr(options, "split_column", None)  # predict has none
    if split_column and "split" not in columns:
        columns["split"] = split_column
    elif split_column:
        message = "--column split and --split-column name the same; leave one of them out"
        raise CodedError(message, "option-malformed")
    return columns


def pairs_of(option: str, texts: Sequence[str], may_be_empty: bool = False) -> dict[str, str]:
    """["exc=happy"] -> {"exc": "happy"}. Raises CodedError for other texts."""
    pairs: dict[str, str] = {}
    for text in texts:
        left, equals, right = text.partition("=")
        if not (left and equals and (right or may_be_empty)) or left in pairs:
            message = f"{option} {text}: write LEFT=RIGHT, each left side once"
            raise CodedError(message, "option-malformed")
        pairs[left] = right
    return pairs


def given_options(options: argparse.Namespace) -> dict[str, list[str]]:
    """Return {option: words of the command line} of the preparation options that were given."""
    parser = argparse.ArgumentParser(add_help=False)
    add_preparation_options(parser)
    given = {}
    for action in parser._actions:
        value = getattr(options, action.dest, action.default)
        if value != action.default and value is not None:
            given[action.option_strings[0]] = list(_words(action, value))
    return given


def _words(action: argparse.Action, value: Any) -> Iterator[str]:
    name = action.option_strings[0]
    if action.nargs == 0:
        yield name
    elif isinstance(action, argparse._AppendAction):
        for item in value:
            yield from (name, str(item))
    elif isinstance(action.nargs, int):
        yield from (name, *(f"{item:g}" for item in value))
    else:
        yield from (name, ",".join(value) if isinstance(value, list) else str(value))


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


def corpus_name(text: str) -> str:
    """Return a name for a corpus and its data dir: letters, digits, ``_`` and ``-``.

    >>> corpus_name("My labels (v2)")
    'My_labels_v2'
    """
    return re.sub(r"[^\w-]+", "_", text).strip("_") or "corpus"
