"""The labels of a table, about whose spelling and meaning only its user can decide."""

from __future__ import annotations

import shlex
import unicodedata
from collections.abc import Collection, Iterator, Mapping

from data_prep.manifest.cells import shown
from data_prep.manifest.labels import MISSING_WORDS, sort_labels
from data_prep.messages import first_few
from data_prep.schema import LABEL_COLUMNS
from data_prep.tables.column_contents import Contents, is_number
from data_prep.tables.completed_recipe import Inference

_MOST_CODES = 5  # labels that are numbers, in a message
_NAMES = ("speaker", "dialogue", "session")


def check_labels(contents: Mapping[str, Contents], inference: Inference) -> None:
    """List labels that are spelled alike, that are numbers, or that may mean a missing one."""
    for key in LABEL_COLUMNS:
        column = contents.get(inference.recipe.columns.get(key, ""))
        if column is None:
            continue
        option = "--label-map" if key == "emotion" else "--sentiment-map"
        decided = {
            *inference.recipe.label_map.get(key, {}),
            *inference.recipe.label_order.get(key, ()),
        }
        decided |= set(inference.recipe.drop_labels) if key == "emotion" else set()
        for same in _spelled_alike(column):
            first, *others = [label for label in same if label not in decided] or same[:1]
            for label in others:
                is_decimal = is_number(label)
                how = "are one number" if is_decimal else "differ in case or spaces alone"
                problem = f"the {key} {_counted(column, label)} and {_counted(column, first)} "
                problem += f"{how}; {label}={label} keeps both"
                inference.add(problem, (option, f"{label}={first}"), "labels-alike")
        _note_codes(key, option, column, decided, inference)
        for label, count in column.values.items():
            if label.casefold() in MISSING_WORDS and label not in decided:
                problem = f"is {key} {shown(label)} ({count} rows) a class, or no label? "
                problem += f"{option} {label}={label} makes it a class"
                inference.add(problem, ("--missing", label), "label-missing-word")


def _note_codes(
    key: str, option: str, column: Contents, decided: Collection[str], inference: Inference
) -> None:
    """Warn of numbers in place of labels, whose meaning only the user can give."""
    codes = [label for label in sort_labels(column.values) if label not in decided]
    if codes and all(map(is_number, codes)):
        named = " ".join(f"{option} {code}=NAME" for code in codes[:_MOST_CODES])
        more = " ..." if len(codes) > _MOST_CODES else ""
        inference.findings.append(
            f"warning: the {key} column {column.name} holds numbers, {first_few(codes)}, and each "
            f"is a class of that name; {named}{more} gives them names"
        )


def note_missing_words(contents: Mapping[str, Contents], inference: Inference) -> None:
    """Warn of texts and speakers such as "N/A", which may be none."""
    for field_ in ("text", *_NAMES):
        column = contents.get(inference.recipe.columns.get(field_, ""))
        for value, count in column.values.items() if column else ():
            if value.casefold() in MISSING_WORDS:
                inference.findings.append(
                    f"warning: {shown(value)} ({count} rows) is read as a {field_}; "
                    f"if it means that there is none: --missing {shlex.quote(value)}"
                )


def _counted(column: Contents, label: str) -> str:
    return f"{shown(label)} ({column.values[label]} rows)"


def _spelled_alike(column: Contents) -> Iterator[list[str]]:
    """Yield labels that look alike but for case and spaces, or 1 and 1.0; the most frequent first.

    Programs write the numbers of a column with an empty cell as decimals.
    """
    groups: dict[str, list[str]] = {}
    for label in column.values:
        folded = unicodedata.normalize("NFKC", label).casefold()  # one of two ways to write "ö"
        whole = label.removesuffix(".0")
        groups.setdefault(whole if whole.isdecimal() else " ".join(folded.split()), []).append(
            label
        )
    for same in groups.values():
        if len(same) > 1:
            yield sorted(same, key=lambda label: (-column.values[label], label))
