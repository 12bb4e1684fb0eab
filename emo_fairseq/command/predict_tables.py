"""Tables that ``predict`` is asked about: a row an item."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emo_fairseq.command.predict_question import Question, checked, opened
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
TABLES = (*_DELIMITERS, ".jsonl")


@dataclass(frozen=True)
class Columns:
    """What the columns (keys) of tables are called; ``id`` names a row, if there is one.

    Attributes:
        modalities: that the model reads; a column of another one is skipped.
    """

    text: str = "text"
    audio: str = "audio"
    modalities: tuple[str, ...] = (TEXT, SPEECH)

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

    It tells on standard error how many cells it has skipped that the model does not read.

    Raises:
        UsageError: no such file, none of the columns, or quotes that do not close.
    """
    skipped: Counter[str] = Counter()
    read = _of_json_lines if path.suffix.lower() == ".jsonl" else _of_table
    yield from read(path, columns, skipped)
    for name, count in skipped.items():
        sys.stderr.write(f"{path}: cells of {name!r} skipped: {count}; {columns.why}\n")


def _of_table(path: Path, columns: Columns, skipped: Counter[str]) -> Iterator[Question]:
    delimiter = _DELIMITERS[path.suffix.lower()]
    with opened(path) as file:
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
                name = _name(path, reader.line_num, row)
                if None in row or None in row.values():
                    what = "another number of fields than the header has"
                    yield Question(name, error=what)
                else:
                    yield _of_row(path, name, row, columns, skipped)
        except csv.Error as error:
            raise UsageError(f"{path}: row {reader.line_num}: {error}; mend the table") from error


def _of_json_lines(path: Path, columns: Columns, skipped: Counter[str]) -> Iterator[Question]:
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Question(f"{path}: row {number}", error=f"not JSON ({error})")
                continue
            if isinstance(row, dict):
                yield _of_row(path, _name(path, number, row), row, columns, skipped)
            else:
                yield Question(f"{path}: row {number}", error="not a JSON object")


def _name(path: Path, number: int, row: dict[Any, Any]) -> str:
    given = row.get("id")
    return f"{path}: row {number}" if given in (None, "") else str(given)


def _of_row(
    path: Path, name: str, row: dict[Any, Any], columns: Columns, skipped: Counter[str]
) -> Question:
    given = {column: row.get(column) for column in (columns.text, columns.audio)}
    given = {column: cell for column, cell in given.items() if cell}
    if not given:
        return Question(name, error=f"neither {columns.text} nor {columns.audio} is given")
    unread = columns.unread & set(given)
    if unread == set(given):
        return Question(name, error=f"{' and '.join(given)} alone, but {columns.why}")
    skipped.update(unread)
    cells = [
        None if column in unread else given.get(column) for column in (columns.text, columns.audio)
    ]
    if wrong := [cell for cell in cells if cell is not None and not isinstance(cell, str)]:
        return Question(name, error=f"{wrong[0]!r} is neither a text nor a path")
    text, audio = cells
    return checked(name, None if audio is None else path.parent / audio, text)
