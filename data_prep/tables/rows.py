"""Read the rows of a user's table by its recipe.

:mod:`data_prep.manifest.cells` has the rules for ids, texts and other values, and for missing ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.errors import Fault, raise_faults
from data_prep.manifest.cells import (
    find_id_fault,
    find_label_fault,
    find_value_fault,
    is_blank,
    parse_number,
    read_text,
    shown,
)
from data_prep.manifest.out_of_scale import CLIP, DROP_AXIS, REFUSE, VadScale
from data_prep.manifest.segment import segment_fault
from data_prep.manifest.votes import (
    OTHER,
    VOTES_FORM,
    format_votes,
    majority,
    parse_votes,
    rename_votes,
)
from data_prep.schema import (
    LABEL_COLUMNS,
    SPLITS,
    Corpus,
    DroppedRow,
    Utterance,
)
from data_prep.tables.cells import class_name, plain, text_cell
from data_prep.tables.reader import open_table, require_columns
from data_prep.tables.recipe import TableRecipe
from data_prep.tables.segments import SECONDS, parse_seconds

_SCORE_SCALE = (-3.0, 3.0)

Rows = Sequence[tuple[int, Mapping[str, Any]]]  # line or row number, {column: cell}
RowSource = Callable[[Path, Sequence[str], TableRecipe], Rows]


@dataclass
class LabelUse:
    """Counts of the labels in tables, before they are mapped."""

    seen: dict[str, Counter[str]] = field(
        default_factory=lambda: {key: Counter() for key in LABEL_COLUMNS}
    )
    padded: Counter[str] = field(default_factory=Counter)  # cells with spaces around the label


@dataclass
class Record:
    """A row: its file and line, its split (once known) and its utterance."""

    file: Path
    line: int
    split: str
    utterance: Utterance
    outside: Sequence[tuple[str, str, float]] = ()  # ratings outside the scale, as of `VadScale`

    def fault(self, problem: str, remedy: str, code: str) -> Fault:
        """Return a fault of this row."""
        return Fault(str(self.file), self.line, problem, remedy, code)


def read_rows(path: Path, wanted: Sequence[str], recipe: TableRecipe) -> Rows:
    """Read the `wanted` columns of a table, with names in place of class numbers.

    Raises:
        ManifestError: a missing column, no rows, or rows that cannot be read.
    """
    table = open_table(path, recipe.format)
    require_columns(table, wanted)
    rows: list[tuple[int, Mapping[str, Any]]] = []
    faults = []
    for row in table.rows(wanted):
        if row.fault is not None:
            faults.append(row.fault)
            continue
        try:
            cells = {name: class_name(table, name, value) for name, value in row.cells.items()}
        except ValueError as error:
            fault = Fault(str(path), row.number, str(error), "correct the number", "class-unknown")
            faults.append(fault)
        else:
            rows.append((row.number, cells))
    raise_faults(faults)
    return rows


def read_records(
    path: Path,
    split: str,
    recipe: TableRecipe,
    corpus: Corpus,
    read: RowSource = read_rows,
    use: LabelUse | None = None,
) -> list[Record]:
    """Read the rows of one table. Rows of a dropped label go to `corpus.dropped`.

    `use` counts the labels. Raises ManifestError, which lists the faulty rows.
    """
    use = use or LabelUse()
    wanted = [*recipe.columns.values(), *recipe.vote_columns.values(), *recipe.extra]
    if recipe.split_column:
        wanted.append(recipe.split_column)
    records, faults = [], []
    for line, row in read(path, wanted, recipe):
        reader = _RowReader(row, recipe, use)
        record = Record(path, line, reader.split(split), reader.utterance(), reader.scale.outside)
        if reader.dropped_label:
            reason = f"--drop-label {reader.dropped_label}"
            name = record.utterance.id or f"row {line}"
            corpus.dropped.append(DroppedRow(record.split, name, reason))
        else:
            faults += [record.fault(*fault) for fault in reader.faults]
            records.append(record)
    raise_faults(faults)
    return records


class _RowReader:
    """Reads the fields of a row, and collects (problem, remedy, code) of those that it cannot."""

    def __init__(self, row: Mapping[str, Any], recipe: TableRecipe, use: LabelUse) -> None:
        self.row = row
        self.use = use
        self.recipe = recipe
        self.scale = VadScale(*(recipe.vad_scale or (0.0, 1.0)), recipe.out_of_scale)
        self.faults: list[tuple[str, str, str]] = []
        self.dropped_label: str | None = None

    def add_fault(self, problem: str, remedy: str, code: str = "cell-invalid") -> None:
        self.faults.append((problem, remedy, code))

    def value(self, column: str) -> str | None:
        """Return a plain value without surrounding spaces; None if it is missing."""
        return self.given(self.cell(column).strip())

    def given(self, value: str) -> str | None:
        """Return None for a blank value or one of --missing, else the value."""
        return None if is_blank(value) or value in self.recipe.missing else value

    def cell(self, column: str, read: Callable[[Any], str] = plain) -> str:
        try:
            return read(self.row.get(column))
        except ValueError as error:
            self.add_fault(f"column {column} {error}", "map another column, or write text")
            return ""

    def field(self, name: str) -> str | None:
        column = self.recipe.columns.get(name)
        value = None if column is None else self.value(column)
        fault = None if value is None else find_value_fault(name, value)
        if fault is not None:
            self.add_fault(*fault)
            return None
        return value

    def split(self, of_table: str) -> str:
        if not self.recipe.split_column:
            return of_table
        value = self.value(self.recipe.split_column) or ""
        split = self.recipe.split_map.get(value, value)
        if split not in SPLITS:
            problem = f"split is {value!r}, none of {', '.join(SPLITS)}"
            remedy = f"name it with --split-map {value}=train, valid or test"
            remedy = remedy if value else "fill it in, or remove the row"
            self.add_fault(problem, remedy, "split-unknown")
        return split

    def utterance(self) -> Utterance:
        audio, (start, end) = self.audio(), self.segment()
        votes = self.votes()
        return Utterance(
            id=self.id(),
            audio=audio,
            text=self.text(),
            speaker=self.field("speaker"),
            session=self.field("session"),
            dialogue=self.field("dialogue"),
            turn=self.number("turn", _whole, "a whole number from 0 up"),
            emotion=self.label("emotion") if "emotion" in self.recipe.columns else _class_of(votes),
            sentiment=self.label("sentiment"),
            valence=self.axis("valence"),
            arousal=self.axis("arousal"),
            dominance=self.axis("dominance"),
            sentiment_score=self.number("sentiment_score", _score, "a number from -3 to 3"),
            corpus=self.field("corpus"),
            start=start,
            end=end,
            votes=format_votes(votes),
            n_annotators=self.number("n_annotators", _whole, "a whole number from 0 up"),
            valence_sd=self.spread("valence_sd"),
            arousal_sd=self.spread("arousal_sd"),
            dominance_sd=self.spread("dominance_sd"),
            video=self.path("video", self.field("video")),
            extra={column: self.cell(column) for column in self.recipe.extra},
        )

    def id(self) -> str:
        column = self.recipe.columns.get("id")
        if column is None:
            return ""  # made later, of all rows
        value = self.given(self.cell(column))
        if fault := find_id_fault(value):
            self.add_fault(*fault)
        return value or ""

    def text(self) -> str | None:
        column = self.recipe.columns.get("text")
        value = None if column is None else self.given(self.cell(column, text_cell).strip())
        if value is None:
            return None
        try:
            return read_text(value, self.recipe.normalize)
        except ValueError as error:
            problem, _, remedy = str(error).rpartition("; ")
            self.add_fault(problem, remedy)
            return None

    def audio(self) -> str | None:
        value = self.field("audio")
        return self.path("audio", self.recipe.audio_paths.get(value or "", value))

    def path(self, field: str, value: str | None) -> str | None:
        """Return a path relative to the folder of the recordings."""
        root = self.recipe.data_raw
        if value is None or root is None or not Path(value).is_absolute():
            return value
        if Path(value).is_relative_to(root.resolve()):
            return Path(value).relative_to(root.resolve()).as_posix()
        problem = f"{field} {value} lies outside --data-raw {root}"
        self.add_fault(problem, "name its folder", "path-outside")
        return None

    def segment(self) -> tuple[float | None, float | None]:
        start = self.number("start", parse_seconds, SECONDS)
        end = self.number("end", parse_seconds, SECONDS)
        if fault := segment_fault(self.field("audio") or self.field("video"), start, end):
            self.add_fault(*fault)
        return start, end

    def label(self, key: str) -> str | None:
        column = self.recipe.columns.get(key)
        # Only the spaces that typing leaves: another one is part of what may be a second spelling.
        cell = "" if column is None else self.cell(column)
        value = self.given(cell.strip(" \t\r\n"))
        if value is None:
            return None
        self.use.seen[key][value] += 1
        self.use.padded[key] += cell != value
        if key == "emotion" and value in self.recipe.drop_labels:
            self.dropped_label = value
            return None
        label = self.recipe.label_map.get(key, {}).get(value, value)
        option = "--label-map" if key == "emotion" else "--sentiment-map"
        order = self.recipe.label_order.get(key)
        if fault := find_label_fault(key, label):
            self.add_fault(*fault)
        elif order and label not in order:
            problem = f"unknown {key} {shown(value)}, none of {', '.join(order)}"
            remedy = f"add it to the order, or name it with {option}"
            self.add_fault(problem, remedy, "label-unknown")
        return label

    def votes(self) -> dict[str, float]:
        """Return the votes for each emotion by its name in the data dir; empty without any."""
        given = self._counted_votes() if self.recipe.vote_columns else self._written_votes()
        self.use.seen["emotion"].update(given.keys())
        votes = rename_votes(given, self.recipe.label_map.get("emotion", {}))
        order = self.recipe.label_order.get("emotion")
        for label in votes:
            if order and label not in order and label != OTHER:
                problem = f"votes for {shown(label)}, none of {', '.join(order)}"
                remedy = (
                    f"add it to the order, or name it with --label-map; {label}={OTHER} is none"
                )
                self.add_fault(problem, remedy, "label-unknown")
        return votes

    def _counted_votes(self) -> dict[str, float]:
        votes = {}
        for label, column in self.recipe.vote_columns.items():
            value = self.value(column)
            try:
                count = 0.0 if value is None else parse_number(value)
                if not 0.0 <= count < math.inf:
                    raise ValueError(value)
            except ValueError:
                remedy = "correct it, or empty the field; --missing names values that mean empty"
                self.add_fault(f"column {column} is {value!r}, no number of votes", remedy)
                continue
            if count:
                votes[label] = count
        return votes

    def _written_votes(self) -> dict[str, float]:
        value = self.field("votes")
        if value is None:
            return {}
        try:
            return dict(parse_votes(value))
        except ValueError as error:
            self.add_fault(f"votes {error}", f"write {VOTES_FORM}, or leave it empty")
            return {}

    def spread(self, name: str) -> float | None:
        """Return a standard deviation on the scale from 0 to 1."""
        width = self.scale.high - self.scale.low

        def parse(value: str) -> float:
            spread = parse_number(value) / width
            if not 0.0 <= spread <= 1.0:
                raise ValueError(value)
            return spread

        return self.number(name, parse, f"a standard deviation from 0 to {width:g}")

    def axis(self, name: str) -> float | None:
        scale = self.scale
        remedy = f"; --out-of-scale {CLIP} or {DROP_AXIS} accepts ratings outside the scale"

        def parse(value: str) -> float | None:
            scaled = scale.scale("", name, parse_number(value))
            if scaled is None and scale.out_of_scale == REFUSE:
                raise ValueError(value)
            return scaled

        return self.number(name, parse, f"a number {scale.low:g} to {scale.high:g}", remedy)

    def number(self, name: str, parse: Callable[[str], Any], wanted: str, further: str = "") -> Any:
        value = self.field(name)
        if value is None:
            return None
        try:
            return parse(self.with_point(name, value))
        except ValueError:
            remedy = "correct it, or empty the field; --missing names values that mean empty"
            self.add_fault(f"{name} is {value!r}, not {wanted}", remedy + further)
            return None

    def with_point(self, name: str, value: str) -> str:
        """Return a number that is text with a decimal point. Raises ValueError for thousands."""
        is_text = isinstance(self.row.get(self.recipe.columns[name]), str)
        if self.recipe.format.decimal == "." or not is_text or ":" in value:
            return value
        if "." in value or value.count(",") > 1:
            raise ValueError(value)
        return value.replace(",", ".")


def _class_of(votes: Mapping[str, float]) -> str | None:
    """Return the class with most votes; None of a tie, and where that is none of the classes."""
    label = majority(votes) if votes else None
    return None if label == OTHER else label


def _whole(value: str) -> int:
    value = value.removesuffix(".0")  # as programs write numbers where one is missing
    if not (value.isascii() and value.isdigit()):
        raise ValueError(value)
    return int(value)


def _score(value: str) -> float:
    low, high = _SCORE_SCALE
    score = parse_number(value)
    if not low <= score <= high:
        raise ValueError(value)
    return score
