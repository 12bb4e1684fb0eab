"""The rows of manifests as columns: one Arrow array for each, and an `Utterance` only on request.

`read_manifest` returns a `ManifestTable`, which is a sequence of `Utterance` like a list of them.
Code that reads a few rows takes them from it. Code that reads all rows takes columns, which is a
hundred times faster, by functions that accept any sequence of rows:

    has(rows, "text")           (N,) bool, whether each row has a value
    numbers(rows, "valence")    (N,) float64, NaN = missing
    codes(rows, "speaker")      (N,) int64, the number of each row's value, and the values
    values(rows, "text")        a sequence of strings, each decoded when it is read
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.manifest.cells import id_key
from data_prep.manifest.columns import KIND_OF, KNOWN_COLUMNS, Kind
from data_prep.manifest.records import Utterance

ID_HASH = "\thash"  # of `derived`: a column that no manifest can have
_ROWS_AT_ONCE = 16_384
_ARROW_TYPES = {
    Kind.ID: pa.string(),
    Kind.TEXT: pa.string(),
    Kind.COUNT: pa.int64(),
    Kind.UNIT: pa.float64(),
    Kind.NUMBER: pa.float64(),
    Kind.SECONDS: pa.float64(),
    Kind.SPREAD: pa.float64(),
}
_NAMES = pa.dictionary(pa.int32(), pa.string())  # of columns whose values recur

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def arrow_type(column: str) -> pa.DataType:
    """Return the Arrow type of a column, which may be one of the corpus's own."""
    if column in ("audio", "video") or column not in KIND_OF:
        return pa.string()
    return _ARROW_TYPES.get(KIND_OF[column], _NAMES)


class ManifestTable(Sequence[Utterance]):
    """Rows of a manifest.

    Args:
        columns: the known columns that the manifest has, and those of the corpus, by name; null =
            missing.
        rows: (N,) numbers of the rows of `columns` that are meant, in order; None for all.
        derived: what was computed of all rows of `columns` when they were stored; see
            `data_prep.manifest.stored_table`.
    """

    def __init__(
        self,
        columns: pa.Table,
        rows: IntArray | None = None,
        derived: Mapping[str, Any] | None = None,
    ) -> None:
        self._columns, self._rows = columns, rows
        self._derived = derived or {}
        self._extra = [name for name in self.columns if name not in KIND_OF]

    @classmethod
    def of(cls, rows: Iterable[Utterance]) -> ManifestTable:
        """Return rows as a table."""
        if isinstance(rows, ManifestTable):
            return rows
        rows = list(rows)
        extra = list(dict.fromkeys(name for row in rows for name in row.extra))
        arrays = {name: column(rows, name) for name in KNOWN_COLUMNS}
        for name in extra:
            cells = pa.array([row.extra.get(name) for row in rows], pa.string())
            arrays[name] = pa.chunked_array([cells])
        return cls(pa.table(arrays))

    @classmethod
    def joined(cls, tables: Sequence[Sequence[Utterance]]) -> ManifestTable:
        """Return the rows of several tables one after the other."""
        parts = [cls.of(table)._selected() for table in tables]
        if not parts:
            return cls.of([])
        return cls(pa.concat_tables(parts, promote_options="default"))

    @property
    def columns(self) -> list[str]:
        """Return the names of the columns, those of the corpus included."""
        return list(self._columns.column_names)

    def __len__(self) -> int:
        return self._columns.num_rows if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> ManifestTable: ...
    def __getitem__(self, index: int | slice) -> Utterance | ManifestTable:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index]  # IndexError beyond the ends
        if self._rows is not None:
            row = int(self._rows[row])
        return next(iter(_utterances(self._columns.slice(row, 1), self._extra)))

    def __iter__(self) -> Iterator[Utterance]:
        for first in range(0, len(self), _ROWS_AT_ONCE):
            if self._rows is None:
                part = self._columns.slice(first, _ROWS_AT_ONCE)
            else:
                part = self._columns.take(pa.array(self._rows[first : first + _ROWS_AT_ONCE]))
            yield from _utterances(part, self._extra)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"ManifestTable of {len(self)} rows"

    def take(self, rows: npt.ArrayLike) -> ManifestTable:
        """Return some of the rows, by number or mask; nothing is copied."""
        chosen = np.asarray(rows)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        inner = chosen if self._rows is None else self._rows[chosen]
        return ManifestTable(self._columns, inner, self._derived)

    def column(self, name: str) -> pa.ChunkedArray:
        """Return a column; of nulls if the manifest does not have it."""
        if name not in self._columns.column_names:
            return pa.chunked_array([pa.nulls(len(self), arrow_type(name))])
        whole = self._columns[name]
        return whole if self._rows is None else whole.take(pa.array(self._rows))

    def has(self, name: str) -> BoolArray:
        """Return whether each row has a value of a column, without reading the values."""
        if name not in self._columns.column_names:
            return np.zeros(len(self), dtype=np.bool_)
        given = np.asarray(pc.is_valid(self._columns[name]))
        return given if self._rows is None else given[self._rows]

    def derived(self, name: str) -> Any:
        """Return what is stored beside the columns under a name: of each row, or of all.

        None if nothing is, or if it is of all rows and these are some.
        """
        value = self._derived.get(name)
        if isinstance(value, pa.ChunkedArray):
            of_all = np.asarray(value)
            return of_all if self._rows is None else of_all[self._rows]
        return value if self._rows is None else None

    def _selected(self) -> pa.Table:
        return self._columns if self._rows is None else self._columns.take(pa.array(self._rows))


def _utterances(columns: pa.Table, extra: Sequence[str]) -> Iterator[Utterance]:
    given = set(columns.column_names)
    n_rows = columns.num_rows
    known = [
        columns[name].to_pylist() if name in given else [None] * n_rows for name in KNOWN_COLUMNS
    ]
    own = [columns[name].to_pylist() for name in extra]
    for row, fields in enumerate(zip(*known, strict=True)):
        cells = {name: part[row] for name, part in zip(extra, own, strict=True)}
        arguments = *fields, {name: cell for name, cell in cells.items() if cell is not None}
        yield Utterance(*arguments)


Cell = TypeVar("Cell", bound=str | None)


class Values(Sequence[Cell], Generic[Cell]):
    """The strings of a column, each decoded when it is read; None = missing."""

    def __init__(self, cells: pa.ChunkedArray) -> None:
        self._cells = cells

    def __len__(self) -> int:
        return len(self._cells)

    @overload
    def __getitem__(self, index: int) -> Cell: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Cell | Self:
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            if chosen.step == 1:
                return type(self)(self._cells.slice(chosen.start, len(chosen)))
            return self.take(np.array(chosen, dtype=np.int64))
        value: Cell = self._cells[range(len(self))[index]].as_py()
        return value

    def __iter__(self) -> Iterator[Cell]:
        for first in range(0, len(self), _ROWS_AT_ONCE):
            yield from self._cells.slice(first, _ROWS_AT_ONCE).to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Values of {len(self)} rows"

    def take(self, rows: npt.ArrayLike) -> Self:
        """Return some of the values, by row number (M,)."""
        return type(self)(self._cells.take(pa.array(np.asarray(rows, dtype=np.int64))))


def take(strings: Sequence[str], rows: npt.ArrayLike) -> Sequence[str]:
    """Return some of a sequence of strings, by number; of a column without reading them."""
    if isinstance(strings, Values):
        return strings.take(rows)
    return [strings[row] for row in np.asarray(rows).tolist()]


# -- Columns of any rows ---------------------------------------------------------------------------


def column(rows: Sequence[Utterance], name: str) -> pa.ChunkedArray:
    """Return a column of rows as Arrow has it, null = missing."""
    if isinstance(rows, ManifestTable):
        return rows.column(name)
    return pa.chunked_array([pa.array([_cell(row, name) for row in rows], arrow_type(name))])


def has(rows: Sequence[Utterance], name: str) -> BoolArray:
    """Return which rows have a value of a column, (N,) bool.

    >>> has([Utterance("a", text="hi"), Utterance("b")], "text")
    array([ True, False])
    """
    if isinstance(rows, ManifestTable):
        return rows.has(name)
    return np.array([_cell(row, name) is not None for row in rows], dtype=np.bool_)


def _cell(row: Utterance, name: str) -> Any:
    return getattr(row, name) if name in KIND_OF else row.extra.get(name)


def numbers(rows: Sequence[Utterance], name: str) -> FloatArray:
    """Return a column of numbers, (N,) float64, NaN = missing.

    >>> numbers([Utterance("a", turn=3), Utterance("b")], "turn")
    array([ 3., nan])
    """
    cells = column(rows, name).cast(pa.float64(), safe=False)  # rounded above 2**53
    return np.array(cells.fill_null(np.nan), dtype=np.float64)


def counts(rows: Sequence[Utterance], name: str) -> IntArray:
    """Return a column of whole numbers, (N,) int64, 0 = missing."""
    return np.array(column(rows, name).fill_null(0), dtype=np.int64)


def codes(rows: Sequence[Utterance], name: str) -> tuple[IntArray, list[str]]:
    """Return the number of each row's value, (N,) int64, -1 = missing, and the values.

    Each value is there once, in the order of its first row.

    >>> codes([Utterance("a", speaker="Ann"), Utterance("b"), Utterance("c", speaker="Ben")],
    ...       "speaker")
    (array([ 0, -1,  1]), ['Ann', 'Ben'])
    """
    cells = column(rows, name)
    if pa.types.is_dictionary(cells.type):
        cells = cells.unify_dictionaries()
    else:
        cells = cells.dictionary_encode()
    if not cells.num_chunks:
        return np.zeros(0, dtype=np.int64), []
    return _in_order(_indices(cells), cells.chunk(0).dictionary.to_pylist())


def value_numbers(rows: Sequence[Utterance], name: str) -> IntArray:
    """Return numbers (N,) that are equal for equal values of a column, -1 = missing.

    Unlike `codes` it makes no Python object of a value, of which texts and audio have many.
    """
    cells = column(rows, name)
    is_coded = pa.types.is_dictionary(cells.type)
    return _indices(cells.unify_dictionaries() if is_coded else cells.dictionary_encode())


def _indices(cells: pa.ChunkedArray) -> IntArray:
    parts = [np.asarray(chunk.indices.fill_null(-1), dtype=np.int64) for chunk in cells.chunks]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def group_numbers(*keys: npt.NDArray[Any]) -> IntArray:
    """Return numbers (N,) that are equal where all keys are, from 0 on.

    >>> group_numbers(np.array([5, 5, 7]), np.array([0.5, 0.5, 0.5]))
    array([0, 0, 1])
    """
    order = np.lexsort(keys)
    is_new = np.zeros(len(order), dtype=np.bool_)
    for key in keys:
        together = key[order]
        is_new[1:] |= together[1:] != together[:-1]
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(is_new)
    return groups


def _in_order(numbered: IntArray, names: list[str]) -> tuple[IntArray, list[str]]:
    """Number the values anew, in the order of their first rows; others are left out."""
    first = np.full(len(names) + 1, len(numbered), dtype=np.int64)  # the last is of -1
    first[numbered[::-1]] = np.arange(len(numbered))[::-1]  # of equal ones the last is assigned
    order = np.argsort(first[:-1], kind="stable")
    order = order[first[:-1][order] < len(numbered)]
    new = np.full(len(names) + 1, -1, dtype=np.int64)
    new[order] = np.arange(len(order))
    return new[numbered], [names[number] for number in order.tolist()]


def count_values(rows: Sequence[Utterance], name: str) -> Counter[str]:
    """Count the rows of each value of a column; rows without one are not counted.

    >>> count_values([Utterance("a", emotion="sad"), Utterance("b")], "emotion")
    Counter({'sad': 1})
    """
    numbered, names = codes(rows, name)
    n_rows = np.bincount(numbered[numbered >= 0], minlength=len(names))
    return Counter(dict(zip(names, n_rows.tolist(), strict=True)))


def count_distinct(rows: Sequence[Utterance], name: str) -> int:
    """Return how many different values a column has."""
    return int(pc.count_distinct(column(rows, name).cast(pa.string())).as_py())


def shared_cells(splits: Mapping[str, Sequence[Utterance]], name: str) -> dict[str, list[str]]:
    """Return the values of each split that another one has too, in the order of its rows.

    Ids are compared and returned by their `id_key`.
    """
    distinct = {split: _distinct(rows, name) for split, rows in splits.items()}
    counted = pa.chunked_array(list(distinct.values()), pa.string()).value_counts()
    is_shared = pc.greater(counted.field("counts"), 1)
    shared = counted.field("values").filter(is_shared)
    return {
        split: cells.filter(pc.is_in(cells, shared)).to_pylist()
        for split, cells in distinct.items()
    }


def _distinct(rows: Sequence[Utterance], name: str) -> pa.Array:
    cells = column(rows, name).cast(pa.string()).unique().drop_null()
    if name == "id" and not pc.all(pc.string_is_ascii(cells), min_count=0).as_py():
        return pa.array(map(id_key, cells.to_pylist()), pa.string()).unique()
    return cells


def values(rows: Sequence[Utterance], name: str) -> Values[str | None]:
    """Return a column of strings.

    >>> list(values([Utterance("a", text="hi"), Utterance("b")], "text"))
    ['hi', None]
    """
    return Values(column(rows, name))


def ids_of(rows: Sequence[Utterance]) -> Values[str]:
    """Return the ids of rows."""
    return Values(column(rows, "id"))


def rows_of_ids(rows: Sequence[Utterance], ids: Collection[str]) -> IntArray:
    """Return the numbers of the rows that have one of these ids, ascending."""
    wanted = pa.array(ids, pa.string())
    return np.flatnonzero(np.asarray(pc.is_in(column(rows, "id"), wanted)))


def select(rows: Sequence[Utterance], chosen: npt.ArrayLike) -> Sequence[Utterance]:
    """Return some of the rows: by number, (M,) int64, or by choice, (N,) bool."""
    if isinstance(rows, ManifestTable):
        return rows.take(chosen)
    numbered = np.asarray(chosen)
    numbered = np.flatnonzero(numbered) if numbered.dtype == bool else numbered
    return [rows[row] for row in numbered.tolist()]
