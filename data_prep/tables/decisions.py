"""The inference of a recipe from the side of a command line.

Its options become a recipe that is completed by what the table shows. The lines that show how the
table is read are :func:`render`'s; what only the user can decide is one error, which ends with the
command that would work.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.errors import ManifestError
from data_prep.manifest.cells import shown
from data_prep.manifest.labels import sort_labels
from data_prep.messages import first_few
from data_prep.schema import AXES, LABEL_COLUMNS
from data_prep.tables.column_contents import Contents, is_number
from data_prep.tables.column_map import Decision
from data_prep.tables.column_names import rank
from data_prep.tables.completed_recipe import GivenOptions, Inference
from data_prep.tables.given_options import columns_of, corpus_name, recipe_of
from data_prep.tables.inference import infer
from data_prep.tables.recipe import TableRecipe, check_recipe

_FEATURES = "features/"  # of the data dir


def infer_recipe(
    tables: Mapping[str, Path], options: argparse.Namespace, command: Sequence[str]
) -> Inference:
    """Complete the recipe of the options.

    Raises:
        ManifestError: something is missing, which is listed with the command that would work; or
            a table cannot be read.
        CodedError: options that are malformed, or contradict each other.
    """
    recipe = recipe_of(options)
    path = next(iter(tables.values()))
    recipe = replace(recipe, name=recipe.name or corpus_name(path.resolve().stem))
    inference = infer(tables, recipe, given_options_of(options))
    _check_given(tables, inference.recipe)
    raise_decisions(tables, inference, command)
    return inference


def raise_decisions(
    tables: Mapping[str, Path], inference: Inference, command: Sequence[str]
) -> None:
    """Raise the ManifestError of `decisions_error` if something is missing."""
    if inference.decisions:
        names = ", ".join(map(str, tables.values()))
        raise decisions_error(names, inference.decisions, command)


def given_options_of(options: argparse.Namespace) -> GivenOptions:
    """Return which of the options were given."""
    return GivenOptions(
        columns_of(options),
        options.encoding,
        None if options.header is None else options.header == "yes",
        options.decimal,
        needs_vad=bool({"vad", *AXES} & set(str(getattr(options, "target", "")).split("+"))),
    )


def _check_given(tables: Mapping[str, Path], recipe: TableRecipe) -> None:
    """Raise CodedError for options that are wrong, whatever else is missing."""
    scale = recipe.vad_scale or (0.0, 1.0)
    # Columns that are inferred later.
    has_content = {"text", "audio", "video"} & set(recipe.columns)
    columns = {"valence": "", **({} if has_content else {"text": ""}), **recipe.columns}
    complete = replace(recipe, vad_scale=scale, data_raw=recipe.data_raw or Path(), columns=columns)
    check_recipe(complete, tables)


def render(
    inference: Inference, *, features: Mapping[str, str] | None = None, ids_made_of: str = ""
) -> list[str]:
    """Return the lines that show how a table is read.

    Args:
        inference: of the table.
        features: feature folder -> column that is written to it.
        ids_made_of: what ids are made of without a column of them; by default names of files or
            numbers of lines.
    """
    recipe, contents = inference.recipe, inference.contents
    lines = list(inference.findings)
    columns = dict(recipe.columns)
    if recipe.split_column:
        columns["split"] = recipe.split_column
    columns |= {f"votes for {label}": name for label, name in recipe.vote_columns.items()}
    columns |= {f"{_FEATURES}{folder}": name for folder, name in (features or {}).items()}
    width = max(map(len, columns), default=0)
    for field_, name in columns.items():
        column = contents.get(name)
        about = "" if column is None else f"  ({_about(field_, column)})"
        lines.append(f"  {field_:<{width}} = {name}{about}")
    if "id" not in columns:
        source = "the file names" if "audio" in columns else "the line numbers"
        lines.append(f"  {'id':<{width}} = made of {ids_made_of or source}")
    used = {*columns.values(), *recipe.extra}
    unused = [name for name in contents if name not in used]
    if unused:
        lines.append(f"  not used: {', '.join(unused)}")
    lines += [hint for name in unused if (hint := _hint_of(contents[name], columns))]
    lines.append("change this by --column FIELD=COLUMN, or FIELD= for none")
    return lines


def _hint_of(column: Contents, columns: Collection[str]) -> str:
    """Return why a column of the name of a label is not used if it holds numbers; else empty."""
    key = next((key for key in LABEL_COLUMNS if rank(key, column.name) == 0), None)
    if key is None or key in columns or column.share(is_number) < 1:
        return ""
    as_labels = f"--column {key}={column.name} reads them as names of classes"
    as_scores = f", --column sentiment_score={column.name} as scores from -3 to 3"
    return (
        f"  {column.name} holds numbers, not labels: {as_labels}"
        f"{as_scores if key == 'sentiment' else ''}"
    )


def _about(field_: str, column: Contents) -> str:
    if field_ in (*LABEL_COLUMNS, "split"):
        labels = [f"{label} {column.values[label]}" for label in sort_labels(column.values)]
        return first_few(labels, 12)
    if field_.startswith(_FEATURES):
        return f"of {column.n_filled + column.n_complex} of {column.n_rows} rows"
    if field_ in ("audio", "text", "id"):
        return f"such as {shown(next(iter(column.values), ''), 40)}"
    return f"{len(column.values)} different values"


def decisions_error(
    source: str, decisions: Sequence[Decision], command: Sequence[str]
) -> ManifestError:
    """Return the error that lists everything that is missing, with the command that would work."""
    words = list(command)
    end = words.index("--") if "--" in words else len(words)
    words[end:end] = [word for decision in decisions for word in decision.words]
    codes = {decision.code for decision in decisions}
    code = codes.pop() if len(codes) == 1 else "several-missing"
    if len(decisions) == 1:
        message = f"{source}: {decisions[0].problem}; {_run(decisions)}: {shlex.join(words)}"
        return ManifestError(message, code)
    lines = [f"{source}: {len(decisions)} things are not known"]
    lines += [f"{n}. {decision.problem}" for n, decision in enumerate(decisions, start=1)]
    lines.append(f"{_run(decisions)}: {shlex.join(words)}")
    return ManifestError("\n".join(lines), code)


def _run(decisions: Sequence[Decision]) -> str:
    values = (word.rpartition("=")[2] for decision in decisions for word in decision.words)
    has_blanks = any(re.fullmatch("[A-Z_]+", value) for value in values)
    return "run, with your values in place of the words in capitals" if has_blanks else "run"
