"""Read and write manifests: `{split}.tsv`, an `Utterance` per row. See `schema` for the columns."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.files.replacing import replacing
from data_prep.manifest.cells import (
    MAX_TEXT,
    MAX_VALUE,
    find_control,
    find_id_fault,
    find_label_fault,
    find_value_fault,
    id_key,
    name_of,
    on_one_line,
    parse_number,
    shown,
)
from data_prep.manifest.columns import (
    COLUMNS,
    KIND_OF,
    KNOWN_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    Kind,
    names_of,
)
from data_prep.manifest.records import Utterance, segment_fault
from data_prep.manifest.votes import VOTES_FORM, parse_votes

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # in a line of ASCII, except tabs


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest.

    Raises:
        ManifestError: at the first fault, see `scan_manifest`.
    """

    def fail(fault: Fault) -> None:
        raise ManifestError(fault)

    return [utterance for _, utterance in scan_manifest(path, fail)]


def scan_manifest(path: str | Path, report: Callable[[Fault], None]) -> list[tuple[int, Utterance]]:
    """Read a manifest, and report all faults.

    Faults are a missing or duplicate column, a wrong number of fields, a missing or duplicate id,
    an invalid number (NaN and infinity included), VAD outside [0, 1], a segment that ends before it
    starts or has no audio, and an id, a text, a label or another value that is invalid by `cells`.

    Args:
        path: the file.
        report: called with each fault.

    Returns:
        (line number, Utterance) of each row. A row that cannot be parsed is left out; one with a
        duplicate id or an invalid value is kept.
    """
    try:
        lines = Path(path).read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except FileNotFoundError:
        report(
            Fault(
                str(path),
                None,
                "no such manifest",
                "write it with a data_prep script",
                "manifest-missing",
            )
        )
        return []
    except UnicodeDecodeError as error:
        row = 1 + error.object.count(b"\n", 0, error.start)
        report(Fault(str(path), row, "not UTF-8 text", "save the file as UTF-8", "file-encoding"))
        return []
    if lines[-1] == "":
        lines.pop()
    columns = lines[0].split("\t") if lines else []
    if fault := _header_fault(str(path), columns):
        report(fault)
        return []
    return _scan_rows(str(path), columns, lines, report)


def _scan_rows(
    file: str, columns: list[str], lines: list[str], report: Callable[[Fault], None]
) -> list[tuple[int, Utterance]]:
    known = [columns.index(name) if name in columns else -1 for name in KNOWN_COLUMNS]
    extra = [(i, name) for i, name in enumerate(columns) if name not in KNOWN_COLUMNS]
    first_row: dict[str, int] = {}
    cell_faults = _CellFaults()
    rows = []
    for row, line in enumerate(lines[1:], start=2):
        values = line.split("\t")
        if len(values) != len(columns):
            problem = f"{len(values)} fields where the header has {len(columns)}"
            report(
                Fault(
                    file,
                    row,
                    problem,
                    "write one tab between fields, none inside them",
                    "row-fields",
                )
            )
            continue
        values.append("")  # read at index -1, of an absent optional column
        try:
            utterance = _parse_row(values, known, extra)
        except ValueError:
            for problem, remedy in _row_faults(values, known):
                report(Fault(file, row, problem, remedy, "cell-invalid"))
            continue
        if (seen := first_row.setdefault(id_key(utterance.id), row)) != row:
            problem = f"id {shown(utterance.id)} was used in row {seen}"
            report(Fault(file, row, problem, "give every utterance its own id", "id-duplicate"))
        for problem, remedy in cell_faults(utterance, line):
            report(Fault(file, row, problem, remedy, "cell-invalid"))
        rows.append((row, utterance))
    return rows


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
            if fault := _find_fault(name, value):
                yield fault
            elif name != "audio":
                self._good.add((name, value))
        for name, value in {"text": row.text or "", **row.extra}.items():
            yield from _text_faults(name, value)


def _text_faults(name: str, value: str) -> Iterator[tuple[str, str]]:
    try:
        _format_text(name, value)
    except ValueError as error:
        yield str(error), "take it out"
    else:
        if control := find_control(value):
            yield f"{name} holds {name_of(control)}", "write a space in its place"


def _header_fault(file: str, columns: list[str]) -> Fault | None:
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    doubled = [name for name, count in Counter(columns).items() if count > 1]
    if missing:
        problem = f"no column {', '.join(missing)} (found: {', '.join(columns)})"
        return Fault(
            file,
            1,
            problem,
            "add the column; leave its fields empty where unknown",
            "column-missing",
        )
    if doubled:
        return Fault(
            file, 1, f"column {', '.join(doubled)} twice", "keep one of them", "column-duplicate"
        )
    return None


def _parse_row(values: list[str], known: list[int], extra: list[tuple[int, str]]) -> Utterance:
    """Convert fields to an Utterance. Raises ValueError for the faults of `_row_faults`."""
    at: list[Any] = [values[i] or None for i in known]
    if at[0] is None:
        raise ValueError("no id")
    for position, parse in _PARSED:
        if at[position] is not None:
            at[position] = parse(at[position])
    if segment_fault(*(at[position] for position in _SEGMENT)):
        raise ValueError("no segment")
    at.append({name: values[i] for i, name in extra if values[i]})
    return Utterance(*at)


def _parse_count(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
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
_SEGMENT = [KNOWN_COLUMNS.index(name) for name in ("audio", "start", "end")]


def _row_faults(values: list[str], known: list[int]) -> Iterable[tuple[str, str]]:
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
    if fault := segment_fault(at["audio"], at["start"], at["end"]):
        yield fault


def _find_fault(name: str, value: str) -> tuple[str, str] | None:
    """Return the problem of a value other than the text and the remedy; None if it is valid."""
    kind = KIND_OF[name]
    if kind is Kind.ID:
        return find_id_fault(value)
    return find_label_fault(name, value) if kind is Kind.LABEL else find_value_fault(name, value)


def write_manifest(path: str | Path, rows: Iterable[Utterance]) -> None:
    """Write a manifest atomically. Line breaks and tabs in text become single spaces.

    Raises:
        ManifestError: before anything is written, if `read_manifest` would refuse a row.
    """
    write_atomically(path, render_manifest(path, rows))


def render_manifest(path: str | Path, rows: Iterable[Utterance]) -> str:
    """Format a manifest; `path` is only used in messages."""
    rows = list(rows)
    columns = list(REQUIRED_COLUMNS)
    columns += [c for c in OPTIONAL_COLUMNS if any(getattr(r, c) is not None for r in rows)]
    extra = list(dict.fromkeys(name for row in rows for name in row.extra))
    for name in extra:
        if not name or name in KNOWN_COLUMNS or find_control(name):
            raise ManifestError(
                Fault(
                    str(path),
                    1,
                    f"extra column {name!r} cannot be written",
                    "rename it",
                    "column-invalid",
                )
            )
    lines = ["\t".join(columns + extra)]
    ids: set[str] = set()
    for number, row in enumerate(rows, start=2):
        try:
            if id_key(row.id) in ids:
                raise ValueError(f"id {shown(row.id)} was used before")
            ids.add(id_key(row.id))
            if fault := segment_fault(row.audio, row.start, row.end):
                raise ValueError(fault[0])
            values = [_format(name, getattr(row, name)) for name in columns]
            values += [_format_text(name, row.extra.get(name, "")) for name in extra]
        except ValueError as error:
            raise ManifestError(
                Fault(
                    str(path),
                    number,
                    str(error),
                    "correct it where the row is made",
                    "cell-invalid",
                )
            ) from None
        lines.append("\t".join(values))
    return "\n".join(lines) + "\n"


def _format_text(name: str, value: str) -> str:
    line = on_one_line(value)
    if (control := find_control(line)) or len(line) > MAX_TEXT:
        problem = f"holds {name_of(control)}" if control else f"has over {MAX_TEXT} characters"
        raise ValueError(f"{name} {shown(line)} {problem}")
    return line


def _format(name: str, value: str | int | float | None) -> str:
    if value is None:
        return ""
    kind = KIND_OF[name]
    if isinstance(value, str):
        if kind is Kind.TEXT:
            return _format_text(name, value)
        if kind is Kind.VOTES:
            return _parse_votes_text(value)
        if fault := _find_fault(name, value):
            raise ValueError(fault[0])
        return value
    is_unit = kind in (Kind.UNIT, Kind.SPREAD)
    if not math.isfinite(value) or (is_unit and not 0.0 <= value <= 1.0):
        raise ValueError(f"{name} is {value}")
    if kind is Kind.COUNT:
        if value < 0 or value != int(value):
            raise ValueError(f"{name} is {value}, not a whole number from 0 up")
        return str(int(value))
    return repr(float(value))


def write_atomically(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 to `path` atomically."""
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
