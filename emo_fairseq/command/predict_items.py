"""What ``predict`` is asked about: files, folders, tables, lines of standard input."""

import csv
import io
import json
import os
import sys
from collections import Counter
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
        yield _checked(places[0] if places else "--text", audio, text)
        return
    if not places:
        raise UsageError("predict: nothing to predict; give files, a folder, -, or --text")
    for place in places:
        yield from _of_place(place, columns, stdin)


def _is_audio(place: str) -> bool:
    path = Path(place)
    known = path.suffix.lower() in (*_TABLES, ".jsonl", ".txt")
    return place != STDIN and not known and not _is_folder(path)


def _is_folder(path: Path) -> bool:
    """False also for a path that the system refuses: asking about it tells why."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _of_place(place: str, columns: Columns, stdin: TextIO) -> Iterator[Question]:
    path, suffix = Path(place), Path(place).suffix.lower()
    if place == STDIN:
        yield from _of_lines("line", _as_utf8(stdin))
    elif _is_folder(path):
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
        yield _checked(f"{name} {number}", None, line.rstrip("\r\n"))


def _as_utf8(stdin: TextIO) -> TextIO:
    """Standard input as UTF-8, whatever the locale is; see :func:`_opened`."""
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    return stdin


def _checked(name: str, audio: Path | None, text: str | None) -> Question:
    """An item, unless its text or its path is none."""
    if text is not None and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in text):
        return Question(name, error="the text holds what is no UTF-8; save it as UTF-8")
    try:
        is_path = audio is None or b"\0" not in os.fsencode(audio)
    except UnicodeEncodeError:
        is_path = False
    return Question(name, audio, text, None if is_path else f"{str(audio)!r} is no path")


def _of_folder(folder: Path) -> Iterator[Question]:
    files = sorted(p for p in folder.rglob("*") if not _is_folder(p))
    found = [p for p in files if p.suffix.lower() in AUDIO_SUFFIXES]
    suffixes = Counter(p.suffix.lower() for p in files)
    others = {
        suffix or "no suffix": n for suffix, n in suffixes.items() if suffix not in AUDIO_SUFFIXES
    }
    skipped = ", ".join(f"{n} of {suffix}" for suffix, n in sorted(others.items()))
    known = ", ".join(AUDIO_SUFFIXES)
    if not found:
        beside = f"; there are {skipped}, so convert what is audio" if skipped else ""
        raise UsageError(f"{folder}: no audio files in it ({known}){beside}")
    if skipped:
        sys.stderr.write(
            f"{folder}: files skipped: {sum(others.values())} ({skipped}); read are {known}\n"
        )
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
    given = row.get("id")
    name = f"{path}: row {number}" if given in (None, "") else str(given)
    is_ragged = path.suffix.lower() in _TABLES and (None in row or None in row.values())
    if is_ragged:
        return Question(name, error="another number of fields than the header has")
    cells = [row.get(column) or None for column in (columns.text, columns.audio)]
    if wrong := [cell for cell in cells if cell is not None and not isinstance(cell, str)]:
        return Question(name, error=f"{wrong[0]!r} is neither a text nor a path")
    text, audio = cells
    if text is None and audio is None:
        return Question(name, error=f"neither {columns.text} nor {columns.audio} is given")
    return _checked(name, None if audio is None else path.parent / audio, text)


def _opened(path: Path) -> TextIO:
    """The file as text; a byte that is no UTF-8 becomes a lone surrogate, which no text holds."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
