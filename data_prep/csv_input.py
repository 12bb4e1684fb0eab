"""Corpus tables (CSV, TSV) in, every row with its line number, malformed ones refused by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from data_prep.records import Fault, ManifestError

_SHOWN = 20


def read_table(
    path: str | Path,
    required: Iterable[str] = (),
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    legacy_bytes: bool = False,
) -> list[tuple[int, dict[str, str]]]:
    """Read a table with a header row as (line number, {column: value}).

    `legacy_bytes` takes a line that is not UTF-8 as Latin-1, for text that ftfy mends later.
    Raises ManifestError on a missing file or column, bad encoding, or a row of the wrong width.
    """
    text = _decode(Path(path), encoding, legacy_bytes)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    faults = []
    line = 1
    try:
        header = next(reader, [])
        _check_header(str(path), header, required)
        line = reader.line_num + 1
        for values in reader:
            if len(values) == len(header):
                rows.append((line, dict(zip(header, values, strict=True))))
            elif values:
                what = f"{len(values)} fields where the header has {len(header)}"
                faults.append(Fault(str(path), line, what, "quote fields that hold the delimiter"))
            line = reader.line_num + 1
    except csv.Error as error:
        faults.append(Fault(str(path), line, f"not a proper table ({error})", "mend its quotes"))
    raise_faults(faults)
    return rows


def _decode(path: Path, encoding: str, legacy_bytes: bool) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(Fault(str(path), None, reason, "name an existing table")) from None
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        if not legacy_bytes:
            row = 1 + raw.count(b"\n", 0, error.start)
            remedy = "save the table as UTF-8, or name its encoding"
            raise ManifestError(Fault(str(path), row, f"not {encoding} text", remedy)) from None
    return "\n".join(_decode_line(line) for line in raw.split(b"\n"))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _check_header(path: str, header: Sequence[str], required: Iterable[str]) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        what = f"no column {', '.join(missing)}"
        remedy = f"its columns are {', '.join(header) or 'none'}"
        raise ManifestError(Fault(path, 1, what, remedy))
    doubled = sorted({name for name in header if header.count(name) > 1})
    if doubled:
        raise ManifestError(Fault(path, 1, f"column {', '.join(doubled)} twice", "rename one"))


def raise_faults(faults: Sequence[Fault]) -> None:
    """Raise ManifestError naming the faults, the first twenty in full; do nothing without any."""
    if len(faults) == 1:
        raise ManifestError(faults[0])
    if faults:
        lines = [str(fault) for fault in faults[:_SHOWN]]
        if len(faults) > _SHOWN:
            lines.append(f"... and {len(faults) - _SHOWN} more")
        raise ManifestError("\n".join([*lines, f"{len(faults)} faults"]))
