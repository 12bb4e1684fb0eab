"""Tables of ``predict``: a row is an item, and keeps its cells."""

import sys
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.errors import ManifestError
from data_prep.files.remote import RemotePath, as_path
from data_prep.manifest.cells import find_id_fault, find_value_fault, id_key, shown
from data_prep.manifest.segment import segment_fault
from data_prep.messages import error_code
from data_prep.tables.audio_folder import find_audio
from data_prep.tables.cells import is_missing, plain, text_cell
from data_prep.tables.reader import check_has_rows
from data_prep.tables.segments import (
    SECONDS,
    other_units,
    parse_seconds,
    time_field,
    unread_times,
)
from data_prep.tables.table import Row
from data_prep.video.segment import VideoSegment
from emo_fairseq.cli.predict.columns import (
    Columns,
    TableOptions,
    check_decided,
    find_columns,
    open_typed,
)
from emo_fairseq.cli.predict.items import Item, Reads, checked_item, with_video
from emo_fairseq.cli.predict.table_dialogues import Turns
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

_MODALITY_OF = {"text": TEXT, "audio": SPEECH, "video": VIDEO}


class TableSource:
    """One table; audio is the segment from `start` to `end`, where it has these columns.

    A row that cannot be read, or whose id or text :mod:`data_prep.manifest.cells` refuses, is an
    item with its error. The number of cells that the model does not read goes to standard error.

    Args:
        path: of the table.
        options: how it is read.

    Raises:
        UsageError: it has no rows, or no column of texts or audio.
    """

    def __init__(self, path: Path, options: TableOptions) -> None:
        self._table, findings = open_typed(path, options)
        check_has_rows(self._table)
        self.columns: Sequence[str] = self._table.columns
        self.found = find_columns(self._table, options.columns)
        self._data_raw = options.data_raw
        if findings:
            sys.stderr.write(f"{path}: {', '.join(findings)}\n")

    def is_typed(self, reads: Reads) -> bool:
        return False

    def items(self, reads: Reads) -> Iterator[Item]:
        path = self._table.path
        self.found = _sound_of_videos(self.found, reads)
        used = [name for name, modality in _MODALITY_OF.items() if reads.has(modality)]
        is_recorded = "audio" in used or "video" in used
        fields = [*used, "start", "end"] if is_recorded else list(used)
        fields += ["speaker"] if reads.groups or reads.dialogues else []
        fields += ["dialogue", "turn"] if reads.dialogues else []
        check_decided(path, self.found, fields)
        if columns := self.found.describe(fields):
            sys.stderr.write(f"{path}: columns {columns} (--column changes them)\n")
        self._check_times(reads)
        self._note_channels(reads)
        folder = self._audio_folder() if is_recorded else path.parent
        reader = _ItemReader(path, self.found, folder, reads)
        turns = self._turns(reads)
        for row in self._table.rows():
            item = reader.read(row)
            if "video" not in self.found.of:
                item = with_video(item, reads)
            yield item if turns is None else turns.place(item, row)
        if turns is not None and turns.n_single:
            sys.stderr.write(f"{path}: rows without a dialogue or a turn: {turns.n_single}\n")
        for name, count in reader.skipped.items():
            sys.stderr.write(f"{path}: cells of {name!r} skipped: {count}; {reads.why}\n")

    def _turns(self, reads: Reads) -> Turns | None:
        """Return what finds the dialogue of each row; None where there is none, or none is read."""
        if not reads.dialogues:
            return None
        if "dialogue" not in self.found.of:
            sys.stderr.write(
                f"{self._table.path}: no column of dialogues, so that each row is predicted alone, "
                "by a model that was trained on dialogues (--column dialogue=COLUMN names one)\n"
            )
            return None
        return Turns(self._table, self.found.of["dialogue"], self.found.of.get("turn"))

    def _audio_folder(self) -> Path:
        """Return the folder that audio paths start from: as given, as found, or the table's."""
        path = self._table.path
        if self._data_raw is not None:
            return as_path(self._data_raw)
        try:
            folder = find_audio(self.found.audio, path) if self.found.audio else None
        except (OSError, ValueError):  # a path that the system refuses: its row has the reason
            return path.parent
        if folder is None or folder.root is None or folder.paths or folder.absent:
            return path.parent
        if folder.root.resolve() != path.parent.resolve():
            sys.stderr.write(f"{path}: audio in {folder.root} (--data-raw changes it)\n")
        return folder.root

    def _check_times(self, reads: Reads) -> None:
        """Refuse columns of times that are not read where rows share audio; else write a note.

        Raises:
            UsageError: such columns, or times in another unit than seconds.
        """
        table, column_of = self._table, self.found.of
        audio = column_of.get("audio")
        if audio is None or not reads.has(SPEECH):
            return
        times = {key: column_of[key] for key in ("start", "end") if key in column_of}
        if fault := other_units(times.values()):
            raise UsageError(f"{table.path}: {fault}", "times-unit")
        others = [name for name in table.columns if name not in times.values()]
        if not any(map(time_field, others)):
            return
        cells = (row.cells.get(audio) for row in table.rows({audio}))
        mapped = [*times, *self.found.declined]
        unread = unread_times(others, mapped, (x for x in cells if isinstance(x, str)))
        if unread is None:
            return
        problem, remedy, is_shared = unread
        sentence = f"{table.path}: {problem}; {remedy}"
        if is_shared:
            raise UsageError(
                f"{sentence}, or rename columns that are no times in the audio", "times-unread"
            )
        sys.stderr.write(f"{sentence}\n")

    def _note_channels(self, reads: Reads) -> None:
        """Write a note where rows name channels of recordings, of which all are mixed."""
        column = next((name for name in self.columns if name.casefold() == "channel"), None)
        if column is None or "audio" not in self.found.of or not reads.has(SPEECH):
            return
        cells = (row.cells.get(column) for row in self._table.rows({column}))
        if len({str(cell) for cell in cells if not is_missing(cell)}) > 1:
            sys.stderr.write(
                f"{self._table.path}: column {column} not read: the channels of a recording are "
                "mixed; files of turns (--segments) name channels\n"
            )


def _sound_of_videos(mapped: Columns, reads: Reads) -> Columns:
    """Return columns by which a model that reads no video reads the sound of videos."""
    if (
        reads.has(VIDEO)
        or not reads.has(SPEECH)
        or "audio" in mapped.of
        or "video" not in mapped.of
    ):
        return mapped
    columns = {name: column for name, column in mapped.of.items() if name != "video"}
    return replace(mapped, of={**columns, "audio": mapped.of["video"]})


class _ItemReader:
    """Reads the rows of one table; counts skipped cells and checks that ids are unique."""

    def __init__(self, path: Path, columns: Columns, folder: Path, reads: Reads) -> None:
        self._path = path
        self._column_of = columns.of
        self._decimal = columns.decimal
        self._folder = folder
        self._reads = reads
        self.skipped: Counter[str] = Counter()
        self._row_of: dict[str, int] = {}  # ids so far

    def read(self, row: Row) -> Item:
        """Return the item of one row, with its error if it is invalid."""
        name = f"{self._path}: row {row.number}"
        if row.fault is not None:
            error = ManifestError(row.fault)
            return Item(name, error=error, cells={})
        try:
            name = self._read_id(row) or name
            return replace(
                self._read_item(name, row.cells),
                speaker=id_key(plain(self._cell(row.cells, "speaker")).strip()) or None,
            )
        except ValueError as error:
            code = error_code(error) or "cell-invalid"
            return Item(name, error=UsageError(str(error), code), cells=row.cells)

    def _cell(self, cells: Mapping[str, Any], name: str) -> Any:
        return cells.get(self._column_of[name]) if name in self._column_of else None

    def _read_id(self, row: Row) -> str | None:
        row_id = plain(self._cell(row.cells, "id"))
        if not row_id.strip():
            return None
        if fault := find_id_fault(row_id):
            raise UsageError("; ".join(fault), "id-invalid")
        first = self._row_of.setdefault(id_key(row_id), row.number)
        if first != row.number:
            raise UsageError(
                f"id {shown(row_id)} was used in row {first}; give every row its own id",
                "id-duplicate",
            )
        return row_id

    def _read_item(self, name: str, cells: Mapping[str, Any]) -> Item:
        given = [key for key in _MODALITY_OF if not is_missing(self._cell(cells, key))]
        used = [key for key in given if self._reads.has(_MODALITY_OF[key])]
        if not given:
            keys = [key for key in _MODALITY_OF if key != "video" or self._reads.has(VIDEO)]
            raise UsageError(f"neither {self._names(keys)} is given", "item-empty")
        if not used:
            raise UsageError(
                f"{self._names(given, ' and ')} alone, but {self._reads.why}", "modality-not-read"
            )
        self.skipped.update(self._column_of[key] for key in given if key not in used)
        text = text_cell(self._cell(cells, "text")).strip() if "text" in used else None
        audio = self._audio(self._file("audio", cells), cells) if "audio" in used else None
        item = checked_item(name, audio, text, cells)
        if "video" not in used:
            return item
        segment = as_segment(self._audio(self._file("video", cells), cells))
        return replace(item, video=VideoSegment(segment.path, segment.start, segment.end))

    def _file(self, key: str, cells: Mapping[str, Any]) -> Path:
        path = text_cell(self._cell(cells, key)).strip()
        if fault := find_value_fault("the path", path):
            raise UsageError("; ".join(fault), "path-invalid")
        file = as_path(path)
        return file if isinstance(file, RemotePath) else self._folder / path

    def _names(self, keys: Collection[str], separator: str = " nor ") -> str:
        return separator.join(self._column_of.get(key, key) for key in keys)

    def _audio(self, path: Path, cells: Mapping[str, Any]) -> Path | AudioSegment:
        start, end = (self._seconds(name, self._cell(cells, name)) for name in ("start", "end"))
        if start is None and end is None:
            return path
        if fault := segment_fault(str(path), start, end):
            raise UsageError("; ".join(fault), "segment-invalid")
        return AudioSegment(path, start or 0.0, end)

    def _seconds(self, name: str, cell: Any) -> float | None:
        if is_missing(cell):
            return None
        try:
            return parse_seconds(plain(cell).strip().replace(self._decimal, "."))
        except ValueError:
            raise UsageError(
                f"{self._column_of[name]} is {plain(cell)!r}, not {SECONDS}", "time-invalid"
            ) from None
