"""Warnings about suspicious labels, which are never changed.

"happy" and "Happy" are two classes unless a label map merges them, and "nan" is a class without
`--missing nan`. `check_labels` checks a data dir, and `check_folds` the sets of folds; preparation,
`summary`, `inspect`, `validate` and the start of training log the warnings.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data_prep.manifest.cells import shown
from data_prep.manifest.columns import LABEL_COLUMNS
from data_prep.manifest.records import SPLITS, TRAIN, Utterance

FEW = 5  # fewer train rows of a class result in a warning
_MISSING = "nan none null nil n/a na #n/a - -- ? unknown unk missing undefined unlabeled xxx"
MISSING_WORDS = frozenset(re.split(" ", _MISSING))  # values for missing ones in tables
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_NAMED = 8  # labels or folds in a message

Counts = Mapping[str, Mapping[str, int]]  # split -> label -> rows


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Sort labels as numbers if all are numbers, else as text.

    >>> sort_labels(["10", "9", "-1"]), sort_labels(["10", "9", "sad"])
    (['-1', '9', '10'], ['10', '9', 'sad'])
    """
    names = list(labels)
    if all(map(_is_number, names)):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def count_labels(rows: Sequence[Utterance], key: str) -> Counter[str]:
    """Count the rows of each label of the column `key`; rows without a label are not counted."""
    from data_prep.manifest.table import count_values

    return count_values(rows, key)


def check_labels(
    splits: Mapping[str, Sequence[Utterance]], named: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return warnings about the labels of a data dir."""
    return [
        warning
        for key in LABEL_COLUMNS
        for warning in check_counts(
            key,
            {split: count_labels(rows, key) for split, rows in splits.items()},
            named.get(key, ()),
        )
    ]


def check_counts(key: str, counts: Counts, named: Sequence[str] = ()) -> list[str]:
    """Return warnings about the labels of one column.

    >>> check_counts("emotion", {"train": {"sad": 9, "Sad": 7}})[0].partition(";")[0]
    "emotion: 'sad' (9 rows), 'Sad' (7 rows) differ in case, spaces or punctuation alone, and are \
2 classes"
    """
    total: Counter[str] = Counter()
    for labels in counts.values():
        total.update({label: n for label, n in labels.items() if n})
    if not total:
        return []
    warnings = [*_spellings(key, total), *_missing_words(key, total), *_numbers(key, total)]
    warnings += _coverage(counts, total, named)
    return [f"{key}: {warning}" for warning in warnings]


def spelling_key(label: str) -> str:
    """Normalize a label: without case, spaces, punctuation and hidden characters.

    >>> spelling_key(" Sad. ") == spelling_key("sad"), spelling_key("1.0") == spelling_key("10")
    (True, False)
    """
    if _is_number(label):
        return f"number {float(label):g}"
    folded = unicodedata.normalize("NFKC", label).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LNMS") or label


def _is_number(label: str) -> bool:
    return _NUMBER.fullmatch(label) is not None


def _spellings(key: str, total: Mapping[str, int]) -> Iterator[str]:
    groups: dict[str, list[str]] = {}
    for label in total:
        groups.setdefault(spelling_key(label), []).append(label)
    for same in groups.values():
        if len(same) > 1:
            main, *others = sorted(same, key=lambda label: -total[label])
            maps = " ".join(f"{_option(key)} {_quoted(other)}={main}" for other in others)
            yield (
                f"{_list(total, same)} differ in case, spaces or punctuation alone, and are "
                f"{len(same)} classes; if they are one, prepare with {maps}"
            )


def _missing_words(key: str, total: Mapping[str, int]) -> Iterator[str]:
    for label in total:
        if label.strip().casefold() in MISSING_WORDS:
            yield (
                f"{_list(total, [label])} is a class of its own; if it means that the label is "
                f"missing, prepare with --missing {_quoted(label)}"
            )


def _numbers(key: str, total: Mapping[str, int]) -> Iterator[str]:
    numbers = sort_labels(label for label in total if _is_number(label))
    words = [
        label
        for label in total
        if not _is_number(label) and label.strip().casefold() not in MISSING_WORDS
    ]
    if numbers and words:
        yield (
            f"{_list(total, numbers)} beside {_list(total, words)}: numbers and names are classes "
            f"side by side; name the numbers with {_option(key)} {numbers[0]}=NAME"
        )


def _coverage(counts: Counts, total: Mapping[str, int], named: Sequence[str]) -> list[str]:
    """Return warnings about classes that splits lack."""
    nothing = "there is nothing to classify, and a training refuses it"
    if len(total) == 1:
        return [f"{_list(total, total)} is the only class there is: {nothing}"]
    train = {label: n for label, n in counts.get(TRAIN, {}).items() if n}
    if not train:
        return []
    warnings = []
    if len(train) == 1:
        warnings.append(f"{_list(train, train)} is the only class in {TRAIN}: {nothing}")
    for split, labels in counts.items():
        if unseen := [label for label, n in labels.items() if n and label not in train]:
            warnings.append(
                f"in {split}, and not in {TRAIN}, where no model can learn it: "
                f"{_list(labels, unseen)}; drop it there, or draw the splits anew"
            )
        if lacking := [label for label in train if any(labels.values()) and not labels.get(label)]:
            warnings.append(
                f"in {TRAIN}, and not in {split}, where its recall is undefined: "
                f"{_list(train, lacking)}"
            )
    if absent := [label for label in named if label not in total]:
        warnings.append(f"in the label set, and in no row: {_list({}, absent)}")
    if few := [label for label, n in train.items() if n < FEW]:
        warnings.append(f"fewer than {FEW} rows in {TRAIN}: {_list(train, few)}")
    return warnings


def check_folds(
    folds: Mapping[str, Mapping[str, Sequence[str]]], rows: Sequence[Utterance]
) -> list[str]:
    """Return warnings about classes that sets of folds lack."""
    from data_prep.manifest.table import ids_of, values

    warnings = []
    for key in LABEL_COLUMNS:
        total = count_labels(rows, key)
        label_of = dict(zip(ids_of(rows), values(rows, key), strict=True))
        for (label, split), names in _lacking(folds, label_of, total).items():
            sentence = f"{_list(total, [label])} is not in {split} of fold {_first(names)}"
            hint = ", where no model can learn it" if split == TRAIN else ""
            warnings.append(f"{key}: {sentence}{hint}")
    return warnings


def _lacking(
    folds: Mapping[str, Mapping[str, Sequence[str]]],
    label_of: Mapping[str, str | None],
    labels: Iterable[str],
) -> dict[tuple[str, str], list[str]]:
    """Return the folds whose set has labels, but not this one, by (label, set)."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for name, sets in folds.items():
        for split in SPLITS:
            present = {label_of.get(row_id) for row_id in sets.get(split, ())} - {None}
            for label in labels:
                if present and label not in present:
                    lacking.setdefault((label, split), []).append(name)
    return lacking


def _list(counts: Mapping[str, int], labels: Iterable[str]) -> str:
    """Format labels with their rows: 'sad' (3 rows), 'glad' (1 row)."""
    names = []
    for label in labels:
        n = counts.get(label)
        names.append(shown(label) if n is None else f"{shown(label)} ({n} row{'s' * (n != 1)})")
    return _first(names)


def _first(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _option(key: str) -> str:
    return "--label-map" if key == "emotion" else "--sentiment-map"


def _quoted(label: str) -> str:
    """Quote a label for a shell."""
    return label if re.fullmatch(r"[\w.+-]+", label, re.ASCII) else shown(label)
