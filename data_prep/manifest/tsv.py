"""Read and write manifests: `{split}.tsv`, an `Utterance` per row. See `schema` for the columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.files.replacing import write_atomically
from data_prep.manifest.cells import find_control, id_key, shown
from data_prep.manifest.columns import (
    KIND_OF,
    KNOWN_COLUMNS,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    Kind,
)
from data_prep.manifest.records import Utterance
from data_prep.manifest.row_rules import find_fault, format_text, scan_rows
from data_prep.manifest.segment import segment_fault
from data_prep.manifest.votes import parse_votes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from data_prep.manifest.table import ManifestTable

_BYTES_AT_ONCE = 1 << 22


def read_manifest(path: str | Path) -> ManifestTable:
    """Read a manifest.

    The columns of a large one are kept beside it, and mapped into memory the next time; see
    `data_prep.manifest.stored_table`.

    Returns:
        Its rows, as a sequence of `Utterance`.

    Raises:
        ManifestError: at the first fault, see `scan_manifest`.
    """
    from data_prep.manifest import stored_table

    return stored_table.read(Path(path), _read_valid)


def _read_valid(path: Path) -> ManifestTable:
    rows, _, faults = scan_manifest(path)
    if faults:
        raise ManifestError(faults[0])
    return rows


class Scan(NamedTuple):
    """What a manifest holds.

    Attributes:
        rows: those that can be parsed, N. One with a duplicate id or an invalid value is among
            them.
        lines: (N,) int64, the line of the file of each row, counted from 1.
        faults: of all rows, in the order of the file.
    """

    rows: ManifestTable
    lines: npt.NDArray[np.int64]
    faults: list[Fault]


def scan_manifest(path: str | Path) -> Scan:
    """Read a manifest, and find all faults.

    Faults are a missing or duplicate column, a wrong number of fields, a missing or duplicate id,
    an invalid number (NaN and infinity included), VAD outside [0, 1], a segment that ends before it
    starts or has no audio, and an id, a text, a label or another value that is invalid by `cells`.
    """
    file = Path(path)
    try:
        return _scan(file)
    except FileNotFoundError:
        remedy = "write it with a data_prep script"
        fault = Fault(str(path), None, "no such manifest", remedy, "manifest-missing")
    except ManifestError as error:
        fault = error.as_fault(path)
    import numpy as np

    from data_prep.manifest.table import ManifestTable

    return Scan(ManifestTable.of([]), np.zeros(0, dtype=np.int64), [fault])


def _scan(file: Path) -> Scan:
    """Read a manifest part by part: by columns, or row by row where a row may have a fault.

    Raises:
        FileNotFoundError: there is none.
        ManifestError: the header has a fault, or the file is not UTF-8.
    """
    import numpy as np

    from data_prep.manifest.column_rules import read_columns
    from data_prep.manifest.table import ManifestTable

    parts: list[ManifestTable] = []
    lines: list[npt.NDArray[np.int64]] = []
    faults: list[Fault] = []
    columns: list[str] = []
    for first, content in _parts(file):
        if first == 1:
            header, _, content = content.partition(b"\n")
            columns = _decode(file, header, 1).removeprefix("\ufeff").split("\t")
            if fault := _header_fault(str(file), columns):
                _check_encoding(file)
                raise ManifestError(fault)
            first = 2
        if not content:
            continue
        table = read_columns(content, columns)
        if table is not None:
            parts.append(ManifestTable(table))
            lines.append(np.arange(first, first + len(parts[-1])))
            continue
        text = _decode(file, content, first)
        rows, row_faults = scan_rows(str(file), columns, text.removesuffix("\n").split("\n"), first)
        parts.append(ManifestTable.of(utterance for _, utterance in rows))
        lines.append(np.array([number for number, _ in rows], dtype=np.int64))
        faults += row_faults
    rows_read = ManifestTable.joined(parts)
    numbered = np.concatenate([np.zeros(0, dtype=np.int64), *lines])
    doubled = _duplicate_ids(str(file), rows_read, numbered)
    by_row = sorted([*doubled, *faults], key=lambda fault: fault.row or 0)
    return Scan(rows_read, numbered, by_row)


def _parts(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield whole lines, with the ends of Unix, and the number of the first of them."""
    first, rest = 1, b""
    with file.open("rb") as source:
        while block := source.read(_BYTES_AT_ONCE):
            lines, end, rest_of_block = block.rpartition(b"\n")
            if not end:
                rest += block
                continue
            part = rest + lines + end
            yield first, part.replace(b"\r\n", b"\n") if b"\r" in part else part
            first += part.count(b"\n")
            rest = rest_of_block
    if rest or first == 1:
        yield first, rest


def _decode(file: Path, content: bytes, first: int) -> str:
    """Decode lines of which `first` is the number of the first."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = first + content.count(b"\n", 0, error.start)
        remedy = "save the file as UTF-8"
        raise ManifestError(
            Fault(str(file), row, "not UTF-8 text", remedy, "file-encoding")
        ) from error


def _check_encoding(file: Path) -> None:
    for first, content in _parts(file):
        _decode(file, content, first)


def _duplicate_ids(file: str, rows: ManifestTable, lines: npt.NDArray[np.int64]) -> list[Fault]:
    import pyarrow.compute as pc

    ids = rows.column("id")
    is_plain = pc.all(pc.string_is_ascii(ids), min_count=0).as_py()
    if is_plain and pc.count_distinct(ids).as_py() == len(rows):
        return []
    first: dict[str, int] = {}
    faults = []
    for name, row in zip(map(str, ids.to_pylist()), lines.tolist(), strict=True):
        if (seen := first.setdefault(id_key(name), row)) != row:
            problem = f"id {shown(name)} was used in row {seen}"
            remedy = "give every utterance its own id"
            faults.append(Fault(file, row, problem, remedy, "id-duplicate"))
    return faults


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
            if fault := segment_fault(row.audio or row.video, row.start, row.end):
                raise ValueError(fault[0])
            values = [_format(name, getattr(row, name)) for name in columns]
            values += [format_text(name, row.extra.get(name, "")) for name in extra]
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


def _format(name: str, value: str | int | float | None) -> str:
    if value is None:
        return ""
    kind = KIND_OF[name]
    if isinstance(value, str):
        if kind is Kind.TEXT:
            return format_text(name, value)
        if kind is Kind.VOTES:
            parse_votes(value)
            return value
        if fault := find_fault(name, value):
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
