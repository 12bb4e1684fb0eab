"""The rules of a manifest's rows: parse one, and word its faults.

`column_rules` applies the same rules to whole columns, and leaves to this module any part of a file
in which something may be at fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from data_prep.errors import Fault
from data_prep.manifest.cells import (
    MAX_TEXT,
    MAX_VALUE,
    find_control,
    find_id_fault,
    find_label_fault,
    find_value_fault,
    name_of,
    on_one_line,
    parse_number,
    shown,
)
from data_prep.manifest.columns import (
    COLUMNS,
    KIND_OF,
    KNOWN_COLUMNS,
    Kind,
    names_of,
)
from data_prep.manifest.records import Utterance
from data_prep.manifest.segment import segment_fault
from data_prep.manifest.votes import VOTES_FORM, parse_votes

MAX_COUNT = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # in a line of ASCII, except tabs


def scan_rows(
    file: str, columns: Sequence[str], lines: Sequence[str], first: int
) -> tuple[list[tuple[int, Utterance]], list[Fault]]:
    """Parse lines of a manifest.

    Args:
        file: its path, for messages.
        columns: of its header.
        lines: without their ends.
        first: number of the first line in the file, counted from 1.

    Returns:
        (line number, Utterance) of each row that can be parsed, and the faults of all rows in
        order, but for ids that are there twice.
    """
    known = [columns.index(name) if name in columns else -1 for name in KNOWN_COLUMNS]
    extra = [(i, name) for i, name in enumerate(columns) if name not in KNOWN_COLUMNS]
    cell_faults = _CellFaults()
    rows: list[tuple[int, Utterance]] = []
    faults: list[Fault] = []
    for row, line in enumerate(lines, start=first):
        values = line.split("\t")
        if len(values) != len(columns):
            problem = f"{len(values)} fields where the header has {len(columns)}"
            remedy = "write one tab between fields, none inside them"
            faults.append(Fault(file, row, problem, remedy, "row-fields"))
            continue
        values.append("")  # read at index -1, of an absent optional column
        try:
            utterance = _parse_row(values, known, extra)
        except ValueError:
            faults += [Fault(file, row, *fault, "cell-invalid") for fault in _faults(values, known)]
            continue
        faults += [
            Fault(file, row, *fault, "cell-invalid") for fault in cell_faults(utterance, line)
        ]
        rows.append((row, utterance))
    return rows, faults


class _CellFaults:
    """Finds values of a row that are invalid by `cells`; repeated values are checked once."""

    _SHORT = names_of(Kind.VALUE, Kind.LABEL)

    def __init__(self) -> None:
        self._good: set[tuple[str, str]] = set()

    def __call__(self, row: Utterance, line: str) -> Iterator[tuple[str, str]]:
        if fault := find_id_fault(row.id):
            yield fault
        if line.isascii() and len(line) <= MAX_VALUE and not _CONTROL.search(line):
            return
        for name in self._SHORT:
            value = getattr(row, name)
            if value is None or (name, value) in self._good:
                continue
            if fault := find_fault(name, value):
                yield fault
            elif name not in ("audio", "video"):
                self._good.add((name, value))
        for name, value in {"text": row.text or "", **row.extra}.items():
            yield from _text_faults(name, value)


def _text_faults(name: str, value: str) -> Iterator[tuple[str, str]]:
    try:
        format_text(name, value)
    except ValueError as error:
        yield str(error), "take it out"
    else:
        if control := find_control(value):
            yield f"{name} holds {name_of(control)}", "write a space in its place"


def _parse_row(values: list[str], known: list[int], extra: list[tuple[int, str]]) -> Utterance:
    """Convert fields to an Utterance. Raises ValueError for the faults of `_faults`."""
    at: list[Any] = [values[i] or None for i in known]
    if at[0] is None:
        raise ValueError("no id")
    for position, parse in _PARSED:
        if at[position] is not None:
            at[position] = parse(at[position])
    audio, video, start, end = (at[position] for position in _SEGMENT)
    if segment_fault(audio or video, start, end):
        raise ValueError("no segment")
    at.append({name: values[i] for i, name in extra if values[i]})
    return Utterance(*at)


def _parse_count(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) > MAX_COUNT:
        raise ValueError(value)
    return int(value)


def _parse_float(value: str) -> float:
    number = parse_number(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _parse_unit(value: str) -> float:
    number = parse_number(value)
    if not 0.0 <= number <= 1.0:  # NaN fails too
        raise ValueError(value)
    return number


def _parse_votes_text(value: str) -> str:
    parse_votes(value)
    return value


class _Parsed(NamedTuple):
    """How the cells of a kind are parsed, and what to write instead of others."""

    parse: Callable[[str], float | str]
    remedy: str


_OLD_VOTES = (
    "; a data dir of IEMOCAP or MSP-IMPROV whose column votes lists annotators was prepared by an "
    "earlier version: prepare it again"
)
_KINDS_PARSED = {
    Kind.COUNT: _Parsed(_parse_count, "write a whole number from 0 up, or leave it empty"),
    Kind.UNIT: _Parsed(_parse_unit, "write a number from 0 to 1, or leave the field empty"),
    Kind.NUMBER: _Parsed(_parse_float, "write a finite number, or leave the field empty"),
    Kind.SECONDS: _Parsed(_parse_float, "write seconds from 0 up, or leave the field empty"),
    Kind.SPREAD: _Parsed(_parse_unit, "write a number from 0 to 1, or leave the field empty"),
    Kind.VOTES: _Parsed(_parse_votes_text, f"write {VOTES_FORM}, or leave it empty{_OLD_VOTES}"),
}
_PARSED = [  # the position of each column that is parsed, and its parser
    (position, _KINDS_PARSED[column.kind].parse)
    for position, column in enumerate(COLUMNS)
    if column.kind in _KINDS_PARSED
]
_SEGMENT = [KNOWN_COLUMNS.index(name) for name in ("audio", "video", "start", "end")]


def _faults(values: list[str], known: list[int]) -> Iterable[tuple[str, str]]:
    """Yield every (problem, remedy) of a row that `_parse_row` refused."""
    at: dict[str, Any] = dict(zip(KNOWN_COLUMNS, (values[i] or None for i in known), strict=True))
    if not at["id"]:
        yield "no id", "give every utterance its own id"
    invalid = set()
    for name, kind in KIND_OF.items():
        if kind not in _KINDS_PARSED or at[name] is None:
            continue
        try:
            at[name] = _KINDS_PARSED[kind].parse(at[name])
        except ValueError:
            invalid.add(name)
            yield f"{name} is {at[name]!r}", _KINDS_PARSED[kind].remedy
    if invalid & {*names_of(Kind.SECONDS)}:
        return
    if fault := segment_fault(at["audio"] or at["video"], at["start"], at["end"]):
        yield fault


def find_fault(name: str, value: str) -> tuple[str, str] | None:
    """Return the problem of a value other than the text and the remedy; None if it is valid."""
    kind = KIND_OF[name]
    if kind is Kind.ID:
        return find_id_fault(value)
    return find_label_fault(name, value) if kind is Kind.LABEL else find_value_fault(name, value)


def format_text(name: str, value: str) -> str:
    """Return a text on one line. Raises ValueError if it is too long, or has control characters."""
    line = on_one_line(value)
    if (control := find_control(line)) or len(line) > MAX_TEXT:
        problem = f"holds {name_of(control)}" if control else f"has over {MAX_TEXT} characters"
        raise ValueError(f"{name} {shown(line)} {problem}")
    return line
