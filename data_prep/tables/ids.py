"""Ids of rows that have no column of them: made of the names of their audio files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from data_prep.manifest.cells import find_id_fault
from data_prep.schema import Utterance


def make_ids(rows: Sequence[Utterance], lines: Sequence[tuple[str, int]]) -> list[Utterance]:
    """Return the rows with ids: the names of their files, without suffix.

    Where two files have one name, all ids begin with the folders. A segment has its milliseconds
    added, as `name_1500_2250`. Rows without audio are called by their split and line, `row_2`.

    Args:
        rows: without ids.
        lines: the split, or "", and the line of each.
    """
    files = dict.fromkeys(row.audio for row in rows if row.audio)
    names = Counter(PurePosixPath(file).stem for file in files)
    in_folders = any(count > 1 for count in names.values())
    made = []
    for row, (split, line) in zip(rows, lines, strict=True):
        name = _of_file(row, in_folders) if row.audio else ""
        if not name or find_id_fault(name):
            name = f"{split or 'row'}_{line}"
        made.append(replace(row, id=name))
    return made


def _of_file(row: Utterance, in_folders: bool) -> str:
    path = PurePosixPath(row.audio or "").with_suffix("")
    name = path.as_posix().lstrip("/") if in_folders else path.name
    if not row.is_segment:
        return name
    end = "end" if row.end is None else round(row.end * 1000)
    return f"{name}_{round((row.start or 0.0) * 1000)}_{end}"
