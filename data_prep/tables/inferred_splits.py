"""Where the splits of a table come from: a column, or speakers, dialogues or rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from data_prep.manifest.cells import shown
from data_prep.tables.column_contents import Contents, split_of
from data_prep.tables.column_names import SURE, rank
from data_prep.tables.completed_recipe import Inference

_GROUPS = ("speaker", "dialogue", "session")
_LEAST_GROUPS = 3  # one for each of train, valid and test


def infer_splits(
    tables: Mapping[str, object], contents: Mapping[str, Contents], inference: Inference
) -> None:
    """Complete where the splits come from: what is given, else the largest units there are."""
    recipe = inference.recipe
    if recipe.split_column:
        _check_split_values(contents.get(recipe.split_column), inference)
    if recipe.split_column or recipe.split_by or any(tables):
        _note_no_valid(tables, contents, inference)
        return
    for group in _GROUPS:
        column = contents.get(recipe.columns.get(group, ""))
        if column is not None and len(column.values) >= _LEAST_GROUPS:
            inference.recipe = replace(recipe, split_by=group)
            inference.findings.append(f"splits drawn by {group}: {len(column.values)} {group}s")
            if absent := column.n_rows - column.n_filled:
                problem = f"{absent} rows have no {group}, by which splits are drawn"
                inference.add(f"{problem}; fill it in, or", ("--split-by", "row"), "unit-missing")
            return
    inference.recipe = replace(recipe, split_by="row")
    few = [f"{len(contents[name].values)} {g}" for g in _GROUPS if (name := recipe.columns.get(g))]
    reason = (
        f"the rows have {' and '.join(few)} alone, fewer than {_LEAST_GROUPS}"
        if few
        else "no speakers or dialogues are known"
    )
    inference.findings.append(
        f"warning: splits drawn by row, since {reason}: rows of one "
        "person are then in train and in test, and figures are better than those of a new speaker"
    )


def _note_no_valid(
    tables: Mapping[str, object], contents: Mapping[str, Contents], inference: Inference
) -> None:
    """Warn where the splits are given, and none is valid."""
    recipe = inference.recipe
    column = contents.get(recipe.split_column or "")
    splits = (
        {recipe.split_map.get(value, value) for value in column.values} if column else {*tables}
    )
    if "train" not in splits or "valid" in splits:
        return
    remedy = "--column split= --split-by speaker draws the splits anew"
    others = [name for name in contents if rank("split", name) == SURE]
    if column is None and others:
        remedy = f"--column split={others[0]} reads the splits of that column"
    inference.findings.append(
        "warning: no row is of the split valid, by which a training selects its checkpoint; "
        f"{remedy}"
    )


def _check_split_values(column: Contents | None, inference: Inference) -> None:
    if column is None:
        return
    mapping = dict(inference.recipe.split_map)
    for value, count in column.values.items():
        if value in mapping:
            continue
        split = split_of(value)
        if split is None:
            problem = f"{count} rows are of the split {shown(value)}: which one is it?"
            inference.add(problem, ("--split-map", f"{value}=SPLIT"), "split-unknown")
        elif split != value:
            mapping[value] = split
    if mapping:
        renamed = ", ".join(f"{old} as {new}" for old, new in mapping.items())
        inference.findings.append(f"splits: {renamed}")
    inference.recipe = replace(inference.recipe, split_map=mapping)
