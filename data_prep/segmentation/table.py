"""Tables of turns: ``start``, ``end``, and maybe ``speaker``, ``text``, ``channel`` and ``file``.

Channels are those of RTTM (:mod:`data_prep.segmentation.rttm`).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from data_prep.errors import CodedError, ManifestError
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import (
    Segmentation,
    Turn,
    on_channels,
    parse_decimal,
    plain_decimal,
)
from data_prep.tables.cells import is_missing, plain
from data_prep.tables.column_contents import decimal_of
from data_prep.tables.reader import DELIMITERS, check_readable, open_table
from data_prep.tables.segments import SECONDS, other_units, parse_seconds
from data_prep.tables.sniffing import sniff
from data_prep.tables.table import Row, TableFormat

_FILES = ("file", "audio", "recording")  # columns that name the recording


@dataclass(frozen=True)
class TurnRows:
    """A table that was opened, and its rows.

    Attributes:
        path: of the file.
        columns: of the table.
        rows: without faults.
        decimal: the decimal separator of times that are text.
        notes: how the file was read, to be printed.
    """

    path: Path
    columns: Sequence[str]
    rows: Sequence[Row]
    decimal: str
    notes: Sequence[str]

    def recording_column(self) -> str | None:
        """Return the column that names the recording; None without one."""
        return next((name for name in _FILES if name in self.columns), None)

    def turn(self, row: Row) -> Turn:
        """Return a row as a turn.

        Raises:
            CodedError: a time that is none.
        """
        try:
            written = [plain(row.cells.get(name)).strip() for name in ("start", "end")]
            start, end = (_seconds(cell.replace(self.decimal, ".")) for cell in written)
        except ValueError as error:
            raise CodedError(
                f"{self.path}: row {row.number}: {error}; give {SECONDS}", "time-invalid"
            ) from None
        speaker, text = text_of(row, "speaker"), text_of(row, "text")
        return Turn(start, end, speaker, text, f"row {row.number}")


def open_rows(path: Path, encoding: str | None = None) -> TurnRows:
    """Read the rows of a table of turns.

    Raises:
        CodedError: it cannot be read, or has no columns start and end in seconds.
    """
    check_readable(path)
    notes: list[str] = []
    how = TableFormat()
    if path.suffix.lower() in DELIMITERS:
        sniffed = sniff(path, how, encoding=encoding, header=True)
        how = sniffed.format
        notes = sniffed.findings if how.delimiter != "," else []
    table = open_table(path, how)
    _check_columns(path, table.columns)
    rows = list(table.rows())
    for row in rows:
        if row.fault is not None:
            raise ManifestError(row.fault)
    cells = [str(row.cells.get(name, "")) for row in rows for name in ("start", "end")]
    return TurnRows(path, table.columns, rows, decimal_of(cells) or ".", notes)


def read(request: Request) -> Segmentation:
    """Read the rows as turns, those of the recording where a column names recordings."""
    table = open_rows(request.path, request.encoding)
    column = table.recording_column()
    chosen: set[str] = set()
    notes: list[str] = []
    if column is not None:
        names = {plain(row.cells.get(column)) for row in table.rows}
        chosen, notes = request.choose_recording(names)
    skipped: Counter[str] = Counter()
    turns = []
    channels = []
    for row in table.rows:
        if column is not None and plain(row.cells.get(column)) not in chosen:
            skipped["turns of other recordings"] += 1
            continue
        turns.append(table.turn(row))
        channels.append((text_of(row, "channel") or "").removesuffix(".0") or None)
    turns, of_channels = on_channels(request.path, turns, channels)
    notes = [*notes, *table.notes, *of_channels]
    return Segmentation(request.path, turns, without_zero(skipped), notes)


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    if fault := other_units(columns):
        raise CodedError(f"{path}: {fault}", "times-unit")
    for name in ("start", "end"):
        if name not in columns:
            raise CodedError(
                f"{path}: no column {name!r} among {', '.join(columns) or 'none'}; name "
                "the columns start, end, speaker, text",
                "column-missing",
            )


def _seconds(cell: str) -> Decimal:
    try:
        return parse_decimal(cell)
    except ValueError:
        if ":" not in cell:
            raise
    # HH:MM:SS.fff and pandas' times, which have nine decimals at most
    try:
        return parse_decimal(f"{parse_seconds(cell):.9f}".rstrip("0").removesuffix("."))
    except ValueError:
        raise ValueError(f"the time {cell[:40]!r} is no time") from None


def text_of(row: Row, column: str) -> str | None:
    """Return the text of a cell, its blanks single; None where there is none."""
    cell = row.cells.get(column)
    return None if is_missing(cell) else " ".join(plain(cell).split()) or None


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return a table of turns, with a column of channels and one of labels if there are any."""
    out = io.StringIO()
    columns = ["start", "end", "speaker", "text"]
    columns += ["channel"] * any(turn.channel for turn in turns) + ["label"] * any(labels)
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for turn, label in zip(turns, labels, strict=True):
        times = {"start": plain_decimal(turn.start), "end": plain_decimal(turn.end)}
        cells = {"speaker": turn.speaker, "text": turn.text, "channel": turn.channel}
        writer.writerow({**times, **cells, "label": label})
    return out.getvalue()
