"""Items that ``predict`` reads: audio files, folders, tables, and lines of text."""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.errors import ManifestError
from data_prep.files.listing import AUDIO_SUFFIXES, visible
from data_prep.manifest.cells import (
    find_id_fault,
    find_text_fault,
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
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
)


@dataclass(frozen=True)
class Item:
    """One item to predict: audio, a text, or both.

    Attributes:
        name: in the output.
        audio: a file, or a segment of one.
        text: what was said.
        error: why it cannot be predicted; None if it may be.
    """

    name: str
    audio: Path | AudioSegment | None = None
    text: str | None = None
    error: str | None = None

    @property
    def times(self) -> dict[str, float | None]:
        """The output columns start and end; none where the audio is a whole file."""
        if not isinstance(self.audio, AudioSegment):
            return {}
        return {"start": self.audio.start, "end": self.audio.end}


def checked_item(name: str, audio: Path | AudioSegment | None, text: str | None) -> Item:
    """Return an item, with its error if its text or its path is invalid."""
    if text is not None and (fault := find_text_fault(text)):
        return Item(name, error="; ".join(fault))
    try:
        is_path = audio is None or b"\0" not in os.fsencode(as_segment(audio).path)
    except UnicodeEncodeError:
        is_path = False
    return Item(name, audio, text, None if is_path else f"{str(audio)!r} is no path")


def open_lines(path: Path) -> TextIO:
    """Open a file as text; bytes that are not UTF-8 become lone surrogates, which no text has.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file", "file-missing")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


# -- tables: a row is an item ----------------------------------------------------------------------


@dataclass(frozen=True)
class Columns:
    """Names of the columns (keys) of tables; ``id`` names a row, if there is one.

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
        """Why they are skipped."""
        return f"the model reads {' and '.join(self.modalities)}"


def table_rows(path: Path, columns: Columns) -> Iterator[Item]:
    """Read the items of one table; audio paths are relative to its folder.

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
        raise UsageError.of(error, "table-invalid") from None
    reader = _ItemReader(path, columns)
    for row in table.rows({"id", columns.text, columns.audio, columns.start, columns.end}):
        if row.fault is not None:
            why = f"{row.fault.what}; {row.fault.remedy}"
            yield Item(f"{path}: row {row.number}", error=why)
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
            "--audio-column",
            "column-missing",
        )


def has_segments(path: Path, columns: Columns) -> bool:
    """Return whether a table has a column of times, so that the output gets them."""
    try:
        names = open_table(path, columns.format).columns
    except ManifestError:
        return False  # which is raised when its rows are read
    reads_audio = columns.audio in names and columns.audio not in columns.unread
    return reads_audio and not {columns.start, columns.end}.isdisjoint(names)


def _check_times(table: Table, columns: Columns) -> None:
    """Refuse columns of times that are not read where rows share audio; else write a note."""
    names = {"start": columns.start, "end": columns.end}
    if columns.audio not in table.columns or columns.audio in columns.unread:
        return
    if fault := other_units(name for name in names.values() if name in table.columns):
        raise UsageError(f"{table.path}: {fault}", "times-unit")
    mapped = [field for field, name in names.items() if name in table.columns]
    others = [name for name in table.columns if name not in names.values()]
    if not any(map(time_field, others)):
        return
    audio = (row.cells.get(columns.audio) for row in table.rows({columns.audio}))
    shared = (path for path in audio if isinstance(path, str))
    unread = unread_times(others, mapped, shared, "--{field}-column {column}")
    if unread is None:
        return
    problem, remedy, is_shared = unread
    sentence = f"{table.path}: {problem}; {remedy}"
    if is_shared:
        raise UsageError(
            f"{sentence}, or rename columns that are no times in the audio", "times-unread"
        )
    sys.stderr.write(f"{sentence}\n")


class _ItemReader:
    """Reads the rows of one table; counts skipped cells and checks that ids are unique."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self.columns = columns
        self.skipped: Counter[str] = Counter()
        self._row_of: dict[str, int] = {}  # ids so far

    def read(self, number: int, cells: Mapping[str, Any]) -> Item:
        """Return the item of one row, with its error if it is invalid."""
        name = f"{self.path}: row {number}"
        try:
            name = self._read_id(number, cells.get("id")) or name
            return self._read_item(name, cells)
        except ValueError as error:
            return Item(name, error=str(error))

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

    def _read_item(self, name: str, cells: Mapping[str, Any]) -> Item:
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
            return checked_item(name, None, text)
        return checked_item(name, self._audio(self.path.parent / path, cells), text)

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


# -- paths of the command line ---------------------------------------------------------------------

STDIN = "-"


def read_items(
    paths: Sequence[str], text: str | None, columns: Columns, stdin: TextIO
) -> Iterator[Item]:
    """Yield all items that a command line names.

    Args:
        paths: audio files; folders of them; ``.txt``, a text a line; tables, which
            :mod:`data_prep.tables.reader` reads; ``-``.
        text: of ``--text``: alone, or of the one audio file.
        columns: of tables.
        stdin: a text a line.

    Raises:
        UsageError: no items; a path that does not exist; a table without the columns.
    """
    if text is not None:
        if len(paths) > 1 or any(not _is_audio(name) for name in paths):
            raise UsageError(
                "--text goes alone, or with one audio file; give a table for more",
                "text-with-items",
            )
        audio = Path(paths[0]) if paths else None
        yield checked_item(paths[0] if paths else "--text", audio, text)
        return
    if not paths:
        raise UsageError(
            "predict: nothing to predict; give files, a folder, -, or --text", "items-missing"
        )
    for name in paths:
        yield from _items_of(name, columns, stdin)


def any_segments(paths: Sequence[str], columns: Columns) -> bool:
    """Return whether one of the paths is a table whose rows may be segments."""
    tables = (Path(name) for name in paths if Path(name).suffix.lower() in TABLES)
    return any(has_segments(path, columns) for path in tables if not _is_folder(path))


def _is_audio(name: str) -> bool:
    path = Path(name)
    is_list = path.suffix.lower() in (*TABLES, ".txt")
    return name != STDIN and not is_list and not _is_folder(path)


def _is_folder(path: Path) -> bool:
    """Return False also for a path that the system refuses: opening it raises the reason."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _items_of(name: str, columns: Columns, stdin: TextIO) -> Iterator[Item]:
    path, suffix = Path(name), Path(name).suffix.lower()
    if name == STDIN:
        yield from _items_of_lines("line", _as_utf8(stdin))
    elif _is_folder(path):
        yield from _items_of_folder(path)
    elif suffix in TABLES:
        yield from table_rows(path, columns)
    elif suffix == ".txt":
        with open_lines(path) as file:
            yield from _items_of_lines(f"{name}: line", file)
    else:
        yield Item(name, audio=path)


def _items_of_lines(name: str, lines: TextIO) -> Iterator[Item]:
    for number, line in enumerate(lines, start=1):
        yield checked_item(f"{name} {number}", None, line.rstrip("\r\n"))


def _as_utf8(stdin: TextIO) -> TextIO:
    """Return standard input as UTF-8, whatever the locale; see :func:`open_lines`."""
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    return stdin


def _items_of_folder(folder: Path) -> Iterator[Item]:
    everything = sorted(path for path in folder.rglob("*") if not _is_folder(path))
    files = visible(everything, folder)
    audio_files = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    suffixes = Counter(path.suffix.lower() for path in files)
    others = {
        f"of {suffix}" if suffix else "of no suffix": n
        for suffix, n in sorted(suffixes.items())
        if suffix not in AUDIO_SUFFIXES
    }
    if n_hidden := len(everything) - len(files):
        others["hidden"] = n_hidden
    skipped = ", ".join(f"{n} {kind}" for kind, n in others.items())
    suffixes_read = ", ".join(AUDIO_SUFFIXES)
    if not audio_files:
        beside = f"; there are {skipped}, so convert audio among them" if skipped else ""
        raise UsageError(
            f"{folder}: no audio files in it ({suffixes_read}){beside}", "audio-missing"
        )
    if skipped:
        sys.stderr.write(
            f"{folder}: files skipped: {sum(others.values())} ({skipped}); read: {suffixes_read}\n"
        )
    for path in audio_files:
        yield Item(str(path), audio=path)
