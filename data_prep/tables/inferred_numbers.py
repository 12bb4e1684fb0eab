"""The numbers of a table: their decimal separator, words among them, and the scale of ratings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from data_prep.manifest.cells import shown
from data_prep.manifest.labels import MISSING_WORDS
from data_prep.manifest.out_of_scale import CLIP, DROP_AXIS, REFUSE
from data_prep.schema import AXES, LABEL_COLUMNS
from data_prep.tables.column_contents import Contents, decimal_of, is_number
from data_prep.tables.completed_recipe import GivenOptions, Inference
from data_prep.tables.recipe import TableRecipe

_NUMERIC = (*AXES, "sentiment_score", "start", "end")
_MOST_WORDS = 5  # distinct values that are no numbers, in a column of numbers


def infer_numbers(
    contents: Mapping[str, Contents], given: GivenOptions, inference: Inference
) -> None:
    """Complete the decimal separator; list words among numbers, and ratings of unknown scale."""
    numeric = _numeric(contents, inference.recipe)
    _check_words(numeric, inference)
    numbers = [v for column in numeric.values() for v in column.values if is_number(v)]
    separator = decimal_of(numbers)
    decimal = given.decimal or ("." if separator is None else separator)
    if decimal == "":
        example = next(value for value in numbers if "," in value)
        problem = f"{example} could have a decimal comma, or one between thousands"
        inference.add(problem, ("--decimal", "COMMA_OR_POINT"), "decimal-unknown")
        decimal = "."
    if decimal == "," and not given.decimal:
        inference.findings.append("decimal comma")
    how = replace(inference.recipe.format, decimal=decimal)
    inference.recipe = replace(inference.recipe, format=how)
    _check_scale(
        {axis: c for axis, c in numeric.items() if axis in AXES}, decimal, given, inference
    )


def _numeric(contents: Mapping[str, Contents], recipe: TableRecipe) -> dict[str, Contents]:
    columns = {f: recipe.columns[f] for f in _NUMERIC if f in recipe.columns}
    return {f: contents[name] for f, name in columns.items() if name in contents}


def _check_words(numeric: Mapping[str, Contents], inference: Inference) -> None:
    """Decide on words in columns of numbers, which may mean missing ones."""
    words: dict[str, list[str]] = {}
    for field_, column in numeric.items():
        odd = (
            [v for v in column.values if not is_number(v)] if field_ not in ("start", "end") else []
        )
        for value in odd if len(odd) <= _MOST_WORDS else ():
            if value.casefold() not in MISSING_WORDS:
                continue  # the rows are listed when they are read
            words.setdefault(value, []).append(f"{field_} ({column.values[value]} rows)")
    for value, places in words.items():
        problem = f"{shown(value)} in {', '.join(places)} is no number; does it mean a missing one?"
        inference.add(problem, ("--missing", value), "value-not-number")


def _check_scale(
    axes: Mapping[str, Contents], decimal: str, given: GivenOptions, inference: Inference
) -> None:
    ranges, outside = [], 0
    low, high = inference.recipe.vad_scale or (0.0, 0.0)
    for axis, column in axes.items():
        numbers = list(_numbers(column, decimal))
        if numbers:
            ranges.append(f"{axis} from {min(numbers):g} to {max(numbers):g}")
            outside += sum(not low <= number <= high for number in numbers)
    if axes and inference.recipe.vad_scale is None:
        _without_scale(list(axes), ranges, given, inference)
    elif outside and inference.recipe.out_of_scale == REFUSE and inference.decisions and low < high:
        # Alone, they are listed by row when the rows are read.
        problem = f"{outside} ratings are outside the scale {low:g} to {high:g}: "
        problem += f"{', '.join(ranges)}; {CLIP} them, or {DROP_AXIS}"
        inference.add(problem, ("--out-of-scale", "CHOICE"), "vad-out-of-scale")


def _without_scale(
    axes: Sequence[str], ranges: Sequence[str], given: GivenOptions, inference: Inference
) -> None:
    """Leave out axes whose scale is not known, where there is something else to learn.

    Axes that were named, or that alone can be learned, are a decision.
    """
    recipe = inference.recipe
    is_needed = given.needs_vad or any(given.columns.get(axis) for axis in axes)
    problem = f"the scale is not known of {', '.join(ranges) or ', '.join(axes)}"
    if is_needed or not {*LABEL_COLUMNS, "sentiment_score"} & set(recipe.columns):
        inference.add(problem, ("--vad-scale", "LOW", "HIGH"), "vad-scale-missing")
        return
    note = f"{', '.join(axes)} left out: {problem}; --vad-scale LOW HIGH reads them"
    columns = {f: name for f, name in recipe.columns.items() if f not in axes}
    inference.recipe = replace(recipe, columns=columns, notes=[*recipe.notes, note])


def _numbers(column: Contents, decimal: str) -> Iterator[float]:
    for value, count in column.values.items():
        written = value.replace(",", ".") if decimal == "," else value
        if is_number(value) and "," not in written:
            yield from [float(written)] * count
