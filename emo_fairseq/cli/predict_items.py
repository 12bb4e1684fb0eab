"""What ``predict`` is asked about: files, folders, tables, lines of standard input."""

import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from data_prep.files.listing import AUDIO_SUFFIXES, visible
from emo_fairseq.cli.predict_question import (
    Question,
    checked,
    opened,
)
from emo_fairseq.cli.predict_tables import (
    TABLES,
    Columns,
    has_segments,
    table_rows,
)
from emo_fairseq.errors import UsageError

STDIN = "-"


def questions(
    places: Sequence[str], text: str | None, columns: Columns, stdin: TextIO
) -> Iterator[Question]:
    """All items that a command line names, one after the other.

    Args:
        places: audio files; folders of them; ``.txt``, a text a line; tables, which
            :mod:`data_prep.tables.reader` reads; ``-``.
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
        yield checked(places[0] if places else "--text", audio, text)
        return
    if not places:
        raise UsageError("predict: nothing to predict; give files, a folder, -, or --text")
    for place in places:
        yield from _of_place(place, columns, stdin)


def any_segments(places: Sequence[str], columns: Columns) -> bool:
    """Whether one of the places is a table whose rows may be segments."""
    tables = (Path(place) for place in places if Path(place).suffix.lower() in TABLES)
    return any(has_segments(path, columns) for path in tables if not _is_folder(path))


def _is_audio(place: str) -> bool:
    path = Path(place)
    known = path.suffix.lower() in (*TABLES, ".txt")
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
    elif suffix in TABLES:
        yield from table_rows(path, columns)
    elif suffix == ".txt":
        with opened(path) as file:
            yield from _of_lines(f"{place}: line", file)
    else:
        yield Question(place, audio=path)


def _of_lines(name: str, lines: TextIO) -> Iterator[Question]:
    for number, line in enumerate(lines, start=1):
        yield checked(f"{name} {number}", None, line.rstrip("\r\n"))


def _as_utf8(stdin: TextIO) -> TextIO:
    """Standard input as UTF-8, whatever the locale is; see :func:`opened`."""
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    return stdin


def _of_folder(folder: Path) -> Iterator[Question]:
    everything = sorted(path for path in folder.rglob("*") if not _is_folder(path))
    files = visible(everything, folder)
    found = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
    suffixes = Counter(path.suffix.lower() for path in files)
    others = {
        f"of {suffix}" if suffix else "of no suffix": n
        for suffix, n in sorted(suffixes.items())
        if suffix not in AUDIO_SUFFIXES
    }
    if n_hidden := len(everything) - len(files):
        others["hidden"] = n_hidden
    skipped = ", ".join(f"{n} {kind}" for kind, n in others.items())
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
