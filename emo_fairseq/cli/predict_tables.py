"""Tables that ``predict`` is given: a row an item."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.audio.segment import AudioSegment
from data_prep.errors import ManifestError
from data_prep.manifest.cells import (
    find_id_fault,
    find_value_fault,
    id_key,
    shown,
)
from data_prep.manifest.records import segment_fault
from data_prep.tables.reader import (
    JSONL,
    TABLES,
    Table,
    TableFormat,
    check_has_rows,
    is_missing,
    open_table,
    plain,
    text_cell,
)
from data_prep.tables.segments import (
    SECONDS,
    other_units,
    parse_seconds,
    time_field,
    unread_times,
)
from emo_fairseq.cli.predict_question import (
    Question,
    checked,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)

__all__ = ["TABLES", "Columns", "has_segments", "table_rows"]


@dataclass(frozen=True)
class Columns:
    """What the columns (keys) of tables are called; ``id`` names a row, if there is one.

    Attributes:
        modalities: that the model reads; a column of another one is skipped.
        format: how delimited text is read.
    """

    text: str = "text"
    audio: str = "audio"
    start: str = "start"
    end: str = "end"
    modalities: tuple[str, ...] = (TEXT, SPEECH)
    format: TableFormat = TableFormat()  # noqa: RUF009 - it is frozen

    @property
    def unread(self) -> set[str]:
        """The columns that are skipped."""
        columns = {TEXT: self.text, SPEECH: self.audio}
        return {name for modality, name in columns.items() if modality not in self.modalities}

    @property
    def why(self) -> str:
        """Why they are."""
        return f"the model reads {' and '.join(self.modalities)}"


def table_rows(path: Path, columns: Columns) -> Iterator[Question]:
    """The items of one table; audio paths start from its folder.

    Audio is the segment from `start` to `end`, where the table has these columns. A row that cannot
    be read, or whose id or text :mod:`data_prep.manifest.cells` refuses, is an item with its
    error. The number of skipped cells that the model does not read goes to standard error.

    Raises:
        UsageError: no such file, no table, none of the columns, or no rows; columns of times that
            nothing reads, where rows share an audio file.
    """
    try:
        table = open_table(path, columns.format)
        _check_columns(table, columns)
        _check_times(table, columns)
    except ManifestError as error:
        raise UsageError(str(error)) from None
    reader = _ItemReader(path, columns)
    for row in table.rows({"id", columns.text, columns.audio, columns.start, columns.end}):
        if row.fault is not None:
            why = f"{row.fault.what}; {row.fault.remedy}"
            yield Question(f"{path}: row {row.number}", error=why)
        else:
            yield reader.read(row.number, row.cells)
    for name, count in reader.skipped.items():
        sys.stderr.write(f"{path}: cells of {name!r} skipped: {count}; {columns.why}\n")


def _check_columns(table: Table, columns: Columns) -> None:
    check_has_rows(table)
    if table.path.suffix.lower() == JSONL:
        return  # each row has keys of its own
    if not {columns.text, columns.audio} & set(table.columns):
        raise UsageError(
            f"{table.path}: no column {columns.text!r} or {columns.audio!r} among "
            f"{', '.join(table.columns) or 'none'}; name yours with --text-column and "
            "--audio-column"
        )


def has_segments(path: Path, columns: Columns) -> bool:
    """Whether a table has a column of times, so that answers get them."""
    try:
        names = open_table(path, columns.format).columns
    except ManifestError:
        return False  # which is raised when its rows are read
    reads_audio = columns.audio in names and columns.audio not in columns.unread
    return reads_audio and not {columns.start, columns.end}.isdisjoint(names)


def _check_times(table: Table, columns: Columns) -> None:
    """Refuse columns of times that nothing reads where rows share audio; else write a note."""
    names = {"start": columns.start, "end": columns.end}
    if columns.audio not in table.columns or columns.audio in columns.unread:
        return
    if fault := other_units(name for name in names.values() if name in table.columns):
        raise UsageError(f"{table.path}: {fault}")
    mapped = [field for field, name in names.items() if name in table.columns]
    others = [name for name in table.columns if name not in names.values()]
    if not any(map(time_field, others)):
        return
    audio = (row.cells.get(columns.audio) for row in table.rows({columns.audio}))
    shared = (path for path in audio if isinstance(path, str))
    found = unread_times(others, mapped, shared, "--{field}-column {column}")
    if found is None:
        return
    what, remedy, is_shared = found
    sentence = f"{table.path}: {what}; {remedy}"
    if is_shared:
        raise UsageError(f"{sentence}, or rename what is no time in the audio")
    sys.stderr.write(f"{sentence}\n")


class _ItemReader:
    """Reads the rows of one table, and remembers what it has to count."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self.columns = columns
        self.skipped: Counter[str] = Counter()
        self._row_of: dict[str, int] = {}  # the ids until here

    def read(self, number: int, cells: Mapping[str, Any]) -> Question:
        """The item of one row, or its error."""
        name = f"{self.path}: row {number}"
        try:
            name = self._read_id(number, cells.get("id")) or name
            return self._read_item(name, cells)
        except ValueError as error:
            return Question(name, error=str(error))

    def _read_id(self, number: int, value: Any) -> str | None:
        row_id = plain(value)
        if not row_id.strip():
            return None
        if fault := find_id_fault(row_id):
            raise ValueError("; ".join(fault))
        first = self._row_of.setdefault(id_key(row_id), number)
        if first != number:
            raise ValueError(
                f"id {shown(row_id)} was used in row {first}; give every row its own id"
            )
        return row_id

    def _read_item(self, name: str, cells: Mapping[str, Any]) -> Question:
        columns = self.columns
        names = (columns.text, columns.audio)
        given = [column for column in names if not is_missing(cells.get(column))]
        if not given:
            raise ValueError(f"neither {columns.text} nor {columns.audio} is given")
        if columns.unread.issuperset(given):
            raise ValueError(f"{' and '.join(given)} alone, but {columns.why}")
        self.skipped.update(columns.unread.intersection(given))
        text, path = (
            text_cell(cells[column]).strip() if column in set(given) - columns.unread else None
            for column in names
        )
        if path is not None and (fault := find_value_fault("the path", path)):
            raise ValueError("; ".join(fault))
        if path is None:
            return checked(name, None, text)
        return checked(name, self._audio(self.path.parent / path, cells), text)

    def _audio(self, path: Path, cells: Mapping[str, Any]) -> Path | AudioSegment:
        times = [
            None if is_missing(cells.get(column)) else _seconds(column, cells[column])
            for column in (self.columns.start, self.columns.end)
        ]
        if times == [None, None]:
            return path
        start, end = times
        if fault := segment_fault(str(path), start, end):
            raise ValueError("; ".join(fault))
        return AudioSegment(path, start or 0.0, end)


def _seconds(column: str, cell: Any) -> float:
    try:
        return parse_seconds(plain(cell).strip())
    except ValueError:
        raise ValueError(f"{column} is {plain(cell)!r}, not {SECONDS}") from None
