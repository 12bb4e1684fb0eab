"""Rows of a table as turns of dialogues, which other rows may interrupt."""

import contextlib
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_prep.manifest.cells import id_key, shown
from data_prep.messages import error_code
from data_prep.tables.cells import is_missing, plain
from data_prep.tables.table import Row, Table
from emo_fairseq.cli.predict.items import Item
from emo_fairseq.errors import UsageError

_DIGITS = 15


class Turns:
    """Finds the dialogue of each row, and its place in it.

    Rows are read once more before, to count those of each dialogue: so a dialogue is known to be
    complete without the rest of the table.

    Args:
        table: that was opened.
        dialogue: the column of its dialogues.
        turn: the column of turns, whole numbers; None: the turns of a dialogue are in the order of
            the rows.

    Attributes:
        n_single: rows so far that are in no dialogue.
    """

    def __init__(self, table: Table, dialogue: str, turn: str | None) -> None:
        self._dialogue = dialogue
        self._turn = turn
        self._n_left: Counter[str] = Counter()
        columns = {dialogue} if turn is None else {dialogue, turn}
        for row in table.rows(columns):
            with contextlib.suppress(ValueError):
                self._n_left[self._name(row)] += 1
        self._rows_of: dict[
            str, dict[int, int]
        ] = {}  # {dialogue: {turn: row}}, of those unfinished
        self.n_single = 0
        if turn is None:
            sys.stderr.write(
                f"{table.path}: no column of turns, so that those of a dialogue are in the order "
                "of the rows (--column turn=COLUMN names one)\n"
            )

    def place(self, item: Item, row: Row) -> Item:
        """Return the item of a row with its dialogue; rows are given in their order."""
        try:
            name = self._name(row)
        except ValueError as error:
            return _with_error(item, UsageError(f"{self._dialogue} {error}", "dialogue-invalid"))
        if not name:
            self.n_single += row.fault is None
            return item
        self._n_left[name] -= 1
        item = replace(item, dialogue=name, n_following=self._n_left[name])
        rows = self._rows_of.setdefault(name, {})
        try:
            turn = row.number if self._turn is None else self._number(row.cells)
            if (first := rows.setdefault(turn, row.number)) != row.number:
                raise UsageError(
                    f"row {first} is turn {turn} of dialogue {shown(name)}, too, so that their "
                    "order is unknown; correct the turn",
                    "turn-duplicate",
                )
            item = replace(item, position=turn)
        except ValueError as error:
            code = error_code(error) or "turn-invalid"
            item = _with_error(item, UsageError(str(error), code))
        if not item.n_following:
            del self._rows_of[name], self._n_left[name]
        return item

    def _name(self, row: Row) -> str:
        """Return the dialogue of a row; "" of one that is in none, or has an error.

        Raises:
            ValueError: its cell holds more than a plain value.
        """
        if row.fault is not None:
            return ""
        if self._turn is not None and is_missing(row.cells.get(self._turn)):
            return ""
        return id_key(plain(row.cells.get(self._dialogue)).strip())

    def _number(self, cells: Mapping[str, Any]) -> int:
        value = plain(cells[self._turn or ""]).strip()
        whole = value.removesuffix(".0")  # as pandas writes numbers where one was missing
        if not (whole.isascii() and whole.isdigit()) or len(whole) > _DIGITS:
            raise UsageError(
                f"{self._turn} is {shown(value)}, not a whole number from 0 up", "turn-invalid"
            )
        return int(whole)


def _with_error(item: Item, error: UsageError) -> Item:
    """Return an item with its error, which is the first one."""
    return item if item.error is not None else replace(item, error=error)
