"""Tables of turns: columns ``start``, ``end``, and maybe ``speaker``, ``text`` and ``file``."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from data_prep.errors import CodedError, ManifestError
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import Segmentation, Turn, parse_decimal, plain_decimal
from data_prep.tables.column_contents import decimal_of
from data_prep.tables.reader import (
    Row,
    TableFormat,
    check_readable,
    is_missing,
    open_table,
    plain,
)
from data_prep.tables.segments import SECONDS, other_units, parse_seconds
from data_prep.tables.sniffing import sniff

_FILES = ("file", "audio", "recording")  # columns that name the recording


def read(request: Request) -> Segmentation:
    """Read the rows as turns, those of the recording where a column names recordings."""
    check_readable(request.path)
    sniffed = sniff(request.path, TableFormat(), encoding=request.encoding, header=True)
    table = open_table(request.path, sniffed.format)
    _check_columns(request, table.columns)
    rows = list(table.rows())
    cells = [str(row.cells.get(name, "")) for row in rows for name in ("start", "end")]
    decimal = decimal_of(cells) or "."
    column = next((name for name in _FILES if name in table.columns), None)
    chosen: set[str] = set()
    notes: list[str] = []
    if column is not None:
        names = {plain(row.cells.get(column)) for row in rows if row.fault is None}
        chosen, notes = request.choose_recording(names)
    skipped: Counter[str] = Counter()
    turns = []
    for row in rows:
        if row.fault is not None:
            raise ManifestError(row.fault)
        if column is not None and plain(row.cells.get(column)) not in chosen:
            skipped["turns of other recordings"] += 1
            continue
        turns.append(_turn(request, row, decimal))
    notes += sniffed.findings if sniffed.format.delimiter != "," else []
    return Segmentation(request.path, turns, without_zero(skipped), notes)


def _check_columns(request: Request, columns: Sequence[str]) -> None:
    if fault := other_units(columns):
        raise CodedError(f"{request.path}: {fault}", "times-unit")
    for name in ("start", "end"):
        if name not in columns:
            raise CodedError(
                f"{request.path}: no column {name!r} among {', '.join(columns) or 'none'}; name "
                "the columns start, end, speaker, text",
                "column-missing",
            )


def _turn(request: Request, row: Row, decimal: str) -> Turn:
    cells = row.cells
    try:
        written = [plain(cells.get(name)).strip() for name in ("start", "end")]
        times = [_seconds(cell.replace(decimal, ".")) for cell in written]
    except ValueError as error:
        raise CodedError(
            f"{request.path}: row {row.number}: {error}; give {SECONDS}", "time-invalid"
        ) from None
    speaker, text = _text(cells, "speaker"), _text(cells, "text")
    return Turn(times[0], times[1], speaker, text, f"row {row.number}")


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


def _text(cells: Mapping[str, Any], name: str) -> str | None:
    cell = cells.get(name)
    return None if is_missing(cell) else " ".join(plain(cell).split()) or None


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return a table of turns, with a column of labels if there are any."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    has_labels = any(labels)
    writer.writerow(["start", "end", "speaker", "text", *(["label"] if has_labels else [])])
    for turn, label in zip(turns, labels, strict=True):
        times = [plain_decimal(turn.start), plain_decimal(turn.end)]
        cells = [*times, turn.speaker or "", turn.text or ""]
        writer.writerow([*cells, label or ""] if has_labels else cells)
    return out.getvalue()
