"""The rules of `row_rules`, applied to whole columns of a part of a manifest.

They accept a part, or report that a row of it may be at fault, which `row_rules` then decides and
words. What is accepted here has no fault there, and the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from data_prep.manifest.cells import MAX_ID_BYTES, MAX_TEXT, MAX_VALUE, USUAL_ID, find_id_fault
from data_prep.manifest.columns import KIND_OF, Kind
from data_prep.manifest.row_rules import find_fault
from data_prep.manifest.table import arrow_type
from data_prep.manifest.votes import parse_votes

_USUAL = bytes([*b"\t\n", *range(0x20, 0x7F)])  # printable ASCII, and what separates cells
_ASCII = 0x80
_MAX_BYTES = 2**30  # of a part
_COUNT = "^[0-9]+$"
_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"  # a part of what Python reads
_CONTROLS = r"[\x{80}-\x{9f}\x{2028}\x{2029}]"  # beyond ASCII


class _FaultError(Exception):
    """A row may have a fault."""


def read_columns(content: bytes, columns: Sequence[str]) -> pa.Table | None:
    """Parse a part of a manifest.

    Args:
        content: whole lines, of which the header is none, each with its end.
        columns: of the header.

    Returns:
        The columns, empty cells as nulls; None if a row may have a fault.
    """
    odd = content.translate(None, _USUAL)
    if len(content) > _MAX_BYTES or (odd and min(odd) < _ASCII):
        return None
    try:
        cells = _split(content, columns)
        is_ascii = not odd
        parsed = {name: _RULES_OF[_kind(name)](cells[name], name, is_ascii) for name in columns}
        _check_segments(parsed)
    except (_FaultError, pa.ArrowInvalid):
        return None
    return pa.table(parsed)


def _kind(name: str) -> Kind:
    return KIND_OF.get(name, Kind.TEXT)  # columns of the corpus are checked like texts


def _split(content: bytes, columns: Sequence[str]) -> pa.Table:
    """Divide lines into cells. Raises ArrowInvalid for a wrong number of them, and for no UTF-8."""
    return csv.read_csv(
        pa.py_buffer(content),
        csv.ReadOptions(column_names=list(columns), use_threads=False, block_size=len(content) + 1),
        csv.ParseOptions(
            delimiter="\t",
            quote_char=False,
            double_quote=False,
            escape_char=False,
            newlines_in_values=False,
            ignore_empty_lines=False,
        ),
        csv.ConvertOptions(
            column_types=dict.fromkeys(columns, pa.string()),
            strings_can_be_null=True,
            null_values=[""],
        ),
    )


def _require(condition: object) -> None:
    if not condition:
        raise _FaultError


def _all(booleans: pa.ChunkedArray) -> bool:
    return bool(pc.all(booleans, min_count=0).as_py())  # nulls, of empty cells, do not count


def _check_length(cells: pa.ChunkedArray, limit: int) -> None:
    _require((pc.max(pc.binary_length(cells)).as_py() or 0) <= limit)


def _ids(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    _require(cells.null_count == 0)
    usual = pc.and_(
        pc.match_substring_regex(cells, f"^{USUAL_ID}$"),
        pc.less_equal(pc.binary_length(cells), MAX_ID_BYTES),
    )
    others = () if _all(usual) else cells.filter(pc.invert(usual)).to_pylist()
    _require(not any(map(find_id_fault, others)))
    return cells


def _names(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    _check_length(cells, MAX_VALUE)
    if not is_ascii:
        _require(not any(find_fault(name, value) for value in _given(cells)))
    return _as_stored(cells, name)


def _as_stored(cells: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    return cells.dictionary_encode() if pa.types.is_dictionary(arrow_type(name)) else cells


def _given(cells: pa.ChunkedArray) -> Iterator[str]:
    return (value for value in cells.unique().to_pylist() if value is not None)


def _texts(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    _check_length(cells, MAX_TEXT)
    if not is_ascii:
        _require(not pc.any(pc.match_substring_regex(cells, _CONTROLS), min_count=0).as_py())
    return cells


def _counts(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    _require(_all(pc.match_substring_regex(cells, _COUNT)))
    return cells.cast(pa.int64())


def _numbers(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    _require(_all(pc.match_substring_regex(cells, _NUMBER)))
    parsed = cells.cast(pa.float64())
    _require(_all(pc.is_finite(parsed)))
    return parsed


def _units(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    parsed = _numbers(cells, name, is_ascii)
    _require(_all(pc.and_(pc.greater_equal(parsed, 0.0), pc.less_equal(parsed, 1.0))))
    return parsed


def _votes(cells: pa.ChunkedArray, name: str, is_ascii: bool) -> pa.ChunkedArray:
    try:
        for value in _given(cells):
            parse_votes(value)
    except ValueError:
        raise _FaultError from None
    return _as_stored(cells, name)


_Rule = Callable[[pa.ChunkedArray, str, bool], pa.ChunkedArray]
_RULES_OF: dict[Kind, _Rule] = {
    Kind.ID: _ids,
    Kind.VALUE: _names,
    Kind.LABEL: _names,
    Kind.TEXT: _texts,
    Kind.COUNT: _counts,
    Kind.UNIT: _units,
    Kind.NUMBER: _numbers,
    Kind.SECONDS: _numbers,
    Kind.VOTES: _votes,
    Kind.SPREAD: _units,
}


def _check_segments(columns: dict[str, pa.ChunkedArray]) -> None:
    """Require that segments have audio or video, and begin before they end."""
    n_rows = len(columns["audio"])
    recorded = pc.is_valid(columns["audio"])
    if "video" in columns:
        recorded = pc.or_(recorded, pc.is_valid(columns["video"]))
    absent = pa.chunked_array([pa.nulls(n_rows, pa.float64())])
    start, end = columns.get("start", absent), columns.get("end", absent)
    if start.null_count == n_rows and end.null_count == n_rows:
        return
    is_segment = pc.or_(pc.is_valid(start), pc.is_valid(end))
    _require(_all(pc.or_(pc.invert(is_segment), recorded)))
    begins = pc.fill_null(start, 0.0)
    _require(_all(pc.greater_equal(begins, 0.0)))
    _require(_all(pc.greater(end, begins)))
