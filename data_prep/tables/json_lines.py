"""JSON lines: an object a line, no key twice, no NaN; strings stay strings, numbers numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from data_prep.errors import Fault
from data_prep.files.documents import parse_json_line
from data_prep.tables.encodings import encoding_fault, encoding_of, has_bad_byte, open_text
from data_prep.tables.table import Row


@dataclass(frozen=True)
class JsonLinesTable:
    """An object a line."""

    path: Path

    @property
    def class_names(self) -> Mapping[str, Sequence[str]]:
        return {}

    @cached_property
    def columns(self) -> Sequence[str]:
        return list(dict.fromkeys(key for row in self.rows() for key in row.cells))

    def rows(self, wanted: Collection[str] | None = None) -> Iterator[Row]:
        with open_text(self.path, encoding_of(self.path, "utf-8")) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield self._row(number, line)

    def _row(self, number: int, line: str) -> Row:
        if has_bad_byte(line):
            return Row(number, {}, encoding_fault(self.path, number, "UTF-8"))
        try:
            return Row(number, _parse_object(line))
        except ValueError as error:
            detail = str(error)
        remedy = 'write an object a line, such as {"id": "a", "text": null} of a missing text'
        return Row(number, {}, Fault(str(self.path), number, detail, remedy, "json-invalid"))


def _parse_object(line: str) -> dict[str, Any]:
    value = parse_json_line(line.strip())
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    return value
