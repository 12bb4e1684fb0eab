"""What ``predict`` is asked about: files, folders, tables, lines of standard input."""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from emo_fairseq.errors import UsageError

STDIN = "-"
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64")
_TABLES = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True)
class Question:
    """One item: an audio file, a text, or both. `error` says why it cannot be asked about."""

    name: str
    audio: Path | None = None
    text: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Columns:
    """What the columns (keys) of tables are called; ``id`` names a row, if there is one."""

    text: str = "text"
    audio: str = "audio"


def questions(
    places: Sequence[str], text: str | None, columns: Columns, stdin: TextIO
) -> Iterator[Question]:
    """All items that a command line names, one after the other.

    Args:
        places: audio files; folders of them; ``.txt``, a text a line; ``.csv``, ``.tsv``,
            ``.jsonl`` with columns of texts and of audio paths, which start from the table's
            folder; ``-``.
        text: of ``--text``: alone, or of the one audio file.
        columns: of tables.
        stdin: a text a line.

    Raises:
        UsageError: nothing to ask about; a place that is not there; a table without the columns.
    """
    if text is not None:
        if len(places) > 1 or any(not _is_audio(place) for place in places):
            raise UsageError("--text goes alone, or with one audio file; give a table for more")
        audio = Path(places[0]) if places else None
        yield Question(places[0] if places else "--text", audio, text)
        return
    if not places:
        raise UsageError("predict: nothing to predict; give files, a folder, -, or --text")
    for place in places:
        yield from _of_place(place, columns, stdin)


def _is_audio(place: str) -> bool:
    path = Path(place)
    known = path.suffix.lower() in (*_TABLES, ".jsonl", ".txt")
    return place != STDIN and not known and not path.is_dir()


def _of_place(place: str, columns: Columns, stdin: TextIO) -> Iterator[Question]:
    path, suffix = Path(place), Path(place).suffix.lower()
    if place == STDIN:
        yield from _of_lines("line", stdin)
    elif path.is_dir():
        yield from _of_folder(path)
    elif suffix in _TABLES:
        yield from _of_table(path, columns)
    elif suffix == ".jsonl":
        yield from _of_json_lines(path, columns)
    elif suffix == ".txt":
        with _opened(path) as file:
            yield from _of_lines(f"{place}: line", file)
    else:
        yield Question(place, audio=path)


def _of_lines(name: str, lines: TextIO) -> Iterator[Question]:
    for number, line in enumerate(lines, start=1):
        yield Question(f"{name} {number}", text=line.rstrip("\r\n"))


def _of_folder(folder: Path) -> Iterator[Question]:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES)
    if not found:
        raise UsageError(f"{folder}: no audio files in it ({', '.join(AUDIO_SUFFIXES)})")
    for path in found:
        yield Question(str(path), audio=path)


def _of_table(path: Path, columns: Columns) -> Iterator[Question]:
    delimiter = _TABLES[path.suffix.lower()]
    with _opened(path) as file:
        reader = csv.DictReader(
            file,
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
            strict=True,
        )
        if not {columns.text, columns.audio} & set(reader.fieldnames or ()):
            raise UsageError(
                f"{path}: no column {columns.text!r} or {columns.audio!r} among "
                f"{', '.join(reader.fieldnames or ()) or 'none'}; name yours with --text-column "
                "and --audio-column"
            )
        try:
            for row in reader:
                yield _of_row(path, reader.line_num, row, columns)
        except csv.Error as error:
            raise UsageError(f"{path}: row {reader.line_num}: {error}; mend the table") from error


def _of_json_lines(path: Path, columns: Columns) -> Iterator[Question]:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Question(f"{path}: row {number}", error=f"not JSON ({error})")
                continue
            if isinstance(row, dict):
                yield _of_row(path, number, row, columns)
            else:
                yield Question(f"{path}: row {number}", error="not a JSON object")


def _of_row(path: Path, number: int, row: dict[Any, Any], columns: Columns) -> Question:
    name = str(row.get("id") or f"{path}: row {number}")
    is_ragged = path.suffix.lower() in _TABLES and (None in row or None in row.values())
    if is_ragged:
        return Question(name, error="another number of fields than the header has")
    cells = [row.get(column) or None for column in (columns.text, columns.audio)]
    if wrong := [cell for cell in cells if cell is not None and not isinstance(cell, str)]:
        return Question(name, error=f"{wrong[0]!r} is neither a text nor a path")
    text, audio = cells
    if text is None and audio is None:
        return Question(name, error=f"neither {columns.text} nor {columns.audio} is given")
    return Question(name, None if audio is None else path.parent / audio, text)


def _opened(path: Path) -> TextIO:
    """The file as text, a byte that is no UTF-8 as the mark of one."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    return path.open(encoding="utf-8-sig", errors="replace", newline="")
