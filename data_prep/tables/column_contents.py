"""What the cells of a column hold: numbers, names of audio files, labels, sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_prep.files.listing import AUDIO_SUFFIXES
from data_prep.manifest.cells import is_blank
from data_prep.tables.cells import class_name, plain
from data_prep.tables.column_names import Names, name_key
from data_prep.tables.segments import parse_seconds
from data_prep.tables.table import Table

MOST_DISTINCT = 200_000  # values of a column that are counted one by one
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_COMMA = re.compile(r"[+-]?\d*,\d+")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")  # 1,500 is 1.5 or 1500

# Split -> its names in published tables and in other languages, as keys.
SPLIT_NAMES: Mapping[str, Names] = {
    "train": Names("train training trn trainset entrainement entrenamiento"),
    "valid": Names("valid validation val dev devel development validierung validacion"),
    "test": Names("test testing tst testset prueba"),
}
EMOTIONS = Names(
    "anger angry sadness sad happiness happy joy joyful fear fearful disgust disgusted surprise "
    "surprised neutral calm contempt excited excitement frustrated frustration boredom bored love "
    "amused amusement pride shame guilt anxious anxiety "
    "arger aerger wut wutend traurig trauer traurigkeit glucklich gluck freude froh angst furcht "
    "ekel uberraschung uberrascht ruhig gelassen verachtung langeweile "
    "colere triste tristesse joie heureux peur degout neutre calme mepris ennui fache "
    "enfado ira enojo tristeza alegria feliz miedo asco sorpresa neutro tranquilo aburrimiento"
).sure_names
SENTIMENTS = Names("positive negative neutral positiv negativ positif negatif").sure_names


@dataclass
class Contents:
    """Counts of the cells of one column.

    Attributes:
        name: of the column.
        n_rows: rows of the tables.
        values: how often each value occurs that is not missing; at most `MOST_DISTINCT` values.
        n_complex: cells that hold no plain value: lists, objects, sounds.
        is_text: of a table whose cells have types, whether those of the column are text.
    """

    name: str
    n_rows: int = 0
    values: Counter[str] = field(default_factory=Counter)
    n_complex: int = 0
    is_text: bool = True

    @property
    def n_filled(self) -> int:
        """Cells that are not missing."""
        return self.values.total()

    @property
    def is_plain(self) -> bool:
        """Whether there is a value, and each is a plain one."""
        return bool(self.values) and not self.n_complex

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.n_filled == self.n_rows == len(self.values)

    def share(self, fits: Callable[[str], object]) -> float:
        """Return the share of cells, of those that are not missing, whose value fits."""
        return sum(n for value, n in self.values.items() if fits(value)) / max(1, self.n_filled)

    @property
    def distinct_share(self) -> float:
        return len(self.values) / max(1, self.n_filled)

    def mean_words(self) -> float:
        """Return the mean number of words of a cell."""
        words = sum(len(value.split()) * n for value, n in self.values.items())
        return words / max(1, self.n_filled)

    def key_share(self, names: frozenset[str]) -> float:
        """Return the share of cells that are one of the names, compared as keys."""
        return self.share(lambda value: name_key(value) in names)


def read_contents(tables: Iterable[Table], missing: Iterable[str]) -> dict[str, Contents]:
    """Return the contents of every column of the tables, which all have it, by name.

    What cannot be read is left out; preparation names it.
    """
    tables = list(tables)
    names = [n for n in tables[0].columns if all(n in table.columns for table in tables)]
    contents = {name: Contents(name) for name in names}
    absent = set(missing)
    for table in tables:
        for row in table.rows():
            if row.fault is None or row.cells:
                for name, column in contents.items():
                    _count(column, table, row.cells.get(name), absent)
    return contents


def _count(column: Contents, table: Table, cell: Any, absent: set[str]) -> None:
    column.n_rows += 1
    try:
        value = plain(class_name(table, column.name, cell)).strip()
    except ValueError:
        column.n_complex += 1
        return
    if is_blank(value) or value in absent:
        return
    column.is_text = column.is_text and isinstance(cell, str)
    if value in column.values or len(column.values) < MOST_DISTINCT:
        column.values[value] += 1


# -- What a value is -------------------------------------------------------------------------------


def is_number(value: str) -> bool:
    """Return whether a value is a number, with a point or a comma."""
    return _NUMBER.fullmatch(value) is not None


def is_audio_name(value: str) -> bool:
    """Return whether a value ends as the name of an audio file."""
    return value.lower().endswith(AUDIO_SUFFIXES)


def is_time(value: str) -> bool:
    """Return whether a value is a time that `parse_seconds` reads, also with a decimal comma."""
    try:
        parse_seconds(value.replace(",", "."))
    except ValueError:
        return False
    return True


def is_whole(value: str) -> bool:
    """Return whether a value is a whole number from 0 up."""
    return value.isascii() and value.isdigit()


def split_of(value: str) -> str | None:
    """Return the split that a value names, in any of its usual words.

    >>> split_of("Dev"), split_of("training"), split_of("3") is None
    ('valid', 'train', True)
    """
    key = name_key(value)
    return next((split for split, names in SPLIT_NAMES.items() if key in names.sure_names), None)


def decimal_of(values: Collection[str]) -> str | None:
    """Return the decimal separator of numbers; "" if a comma could also be between thousands.

    >>> decimal_of(["1,5", "2"]), decimal_of(["1.5"]), decimal_of(["2"]), decimal_of(["1,500"])
    (',', '.', '.', '')
    >>> decimal_of(["1,5", "2.5"]) is None
    True
    """
    with_comma = [value for value in values if _COMMA.fullmatch(value) or "," in value]
    with_point = any("." in value for value in values)
    if not with_comma:
        return "."
    if with_point:
        return None
    return "" if all(map(_GROUPED.fullmatch, with_comma)) else ","
