"""Rows that are read as one, since a text with quotes was written without quoting.

    u5<tab>"I am so<tab>sad             a quote begins a cell, and is part of its text
    u6<tab>never mind<tab>happy
    u7<tab>glad of it"<tab>happy        a quote ends a cell: by RFC 4180 one row of three lines

Such a row has as many cells as any other, and nothing else is wrong with it. But each of its lines
is a row by itself, whose cells look like those of their columns, which lines of a quoted text do
not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

_ROWS = 1000  # that the shapes are taken from
_FEWEST = 3  # of them
# Of a column with more shapes, such as one of texts, any cell could be one.
_MOST_SHAPES, _MOST_SHARE = 5, 0.2
_DIGITS, _LETTERS = re.compile(r"\d+"), re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class JoinedRows:
    """Recognizes joined rows by the shapes of cells.

    Attributes:
        shapes: of each column; None where any cell could be one of it.
        delimiter: between cells.
    """

    shapes: Sequence[frozenset[str] | None]
    delimiter: str

    @classmethod
    def of(cls, rows: Iterable[Sequence[str]], n_columns: int, delimiter: str) -> JoinedRows:
        """Take the shapes of the cells of rows that are one line each."""
        whole = [row for row in islice(rows, _ROWS) if len(row) == n_columns]
        most = max(_MOST_SHAPES, _MOST_SHARE * len(whole))
        of_columns = [frozenset(map(shape_of, cells)) for cells in zip(*whole, strict=True)]
        are_few = len(whole) < _FEWEST
        known = [None if are_few or len(shapes) > most else shapes for shapes in of_columns]
        return cls(known or [None] * n_columns, delimiter)

    def are_joined(self, cells: Sequence[str], lines: Sequence[str]) -> bool:
        """Return whether each line of a row is a row by itself."""
        quoted = {number for number, cell in enumerate(cells) if "\n" in cell or "\r" in cell}
        known = [n for n, x in enumerate(self.shapes) if x is not None and n not in quoted]
        rows = [line.rstrip("\r\n").split(self.delimiter) for line in lines]
        if not known or len(quoted) != 1 or any(len(row) != len(self.shapes) for row in rows):
            return False
        return all(shape_of(row[n]) in (self.shapes[n] or ()) for row in rows for n in known)


def shape_of(cell: str) -> str:
    """Return a cell with each number as 9 and each word as a.

    >>> shape_of("dia12_utt3"), shape_of(" I think, 2 of them")
    ('a9_a9', ' a a, 9 a a')
    """
    return _LETTERS.sub("a", _DIGITS.sub("9", cell))
