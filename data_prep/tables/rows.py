"""Rows of any table -> utterances, by a recipe that says what each column and value means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.clean_text import normalise_text
from data_prep.csv_input import raise_faults, read_table
from data_prep.schema import SPLITS, Corpus, DroppedRow, Fault, Utterance, scale_vad
from data_prep.tables.recipe import TableRecipe

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SCORE_SCALE = (-3.0, 3.0)

Rows = Sequence[tuple[int, dict[str, str]]]  # line or row number, {column: value}
RowSource = Callable[[Path, Sequence[str], TableRecipe], Rows]


@dataclass
class Record:
    """One row on its way: where it came from, its split (once known) and what it says."""

    file: Path
    line: int
    split: str
    utterance: Utterance

    def fault(self, what: str, remedy: str) -> Fault:
        """A fault of this row."""
        return Fault(str(self.file), self.line, what, remedy)


def read_delimited(path: Path, wanted: Sequence[str], recipe: TableRecipe) -> Rows:
    """The rows of a CSV or TSV that has the `wanted` columns."""
    delimiter = recipe.delimiter or DELIMITERS.get(path.suffix.lower())
    if delimiter is None:
        raise ValueError(f"{path}: neither .csv nor .tsv; say --delimiter")
    return read_table(path, wanted, delimiter=delimiter, encoding=recipe.encoding)


def read_records(
    path: Path,
    split: str,
    recipe: TableRecipe,
    corpus: Corpus,
    read: RowSource = read_delimited,
) -> list[Record]:
    """The rows of one table. Rows of a dropped label go to `corpus.dropped`; faults are raised."""
    wanted = [*recipe.columns.values(), *recipe.extra]
    if recipe.split_column:
        wanted.append(recipe.split_column)
    records, faults = [], []
    for line, row in read(path, wanted, recipe):
        reader = _RowReader(row, recipe)
        record = Record(path, line, reader.split(split), reader.utterance())
        if reader.dropped_label:
            reason = f"--drop-label {reader.dropped_label}"
            corpus.dropped.append(DroppedRow(record.split, record.utterance.id, reason))
        else:
            faults += [record.fault(what, remedy) for what, remedy in reader.faults]
            records.append(record)
    raise_faults(faults)
    return records


class _RowReader:
    """Reads one row's fields, collecting (what, remedy) for each that cannot be understood."""

    def __init__(self, row: Mapping[str, str], recipe: TableRecipe) -> None:
        self.row = row
        self.recipe = recipe
        self.faults: list[tuple[str, str]] = []
        self.dropped_label: str | None = None

    def value(self, column: str) -> str | None:
        value = self.row[column].strip()
        return None if not value or value in self.recipe.missing else value

    def field(self, name: str) -> str | None:
        column = self.recipe.columns.get(name)
        return None if column is None else self.value(column)

    def split(self, of_table: str) -> str:
        if not self.recipe.split_column:
            return of_table
        value = self.value(self.recipe.split_column) or ""
        split = self.recipe.split_map.get(value, value)
        if split not in SPLITS:
            what = f"split is {value!r}, none of {', '.join(SPLITS)}"
            self.faults.append((what, f"name it with --split-map {value}=train, valid or test"))
        return split

    def utterance(self) -> Utterance:
        name = self.field("id")
        if name is None:
            self.faults.append(("no id", "give every row its own id"))
        text = self.field("text")
        return Utterance(
            id=name or "",
            audio=self.audio(),
            text=normalise_text(text) or None if text and self.recipe.normalise else text,
            speaker=self.field("speaker"),
            session=self.field("session"),
            dialogue=self.field("dialogue"),
            turn=self.number("turn", _whole, "a whole number from 0 up"),
            emotion=self.label("emotion"),
            sentiment=self.label("sentiment"),
            valence=self.axis("valence"),
            arousal=self.axis("arousal"),
            dominance=self.axis("dominance"),
            sentiment_score=self.number("sentiment_score", _score, "a number from -3 to 3"),
            corpus=self.field("corpus"),
            extra={column: self.row[column] for column in self.recipe.extra},
        )

    def audio(self) -> str | None:
        value, root = self.field("audio"), self.recipe.data_raw
        if value is None or root is None or not Path(value).is_absolute():
            return value
        if Path(value).is_relative_to(root.resolve()):
            return Path(value).relative_to(root.resolve()).as_posix()
        self.faults.append((f"audio {value} lies outside --data-raw {root}", "name its folder"))
        return None

    def label(self, key: str) -> str | None:
        found = self.field(key)
        if found is None:
            return None
        if key == "emotion" and found in self.recipe.drop_labels:
            self.dropped_label = found
            return None
        label = self.recipe.label_map.get(key, {}).get(found, found)
        order = self.recipe.label_order.get(key)
        if order and label not in order:
            option = "--label-map" if key == "emotion" else "--sentiment-map"
            what = f"unknown {key} {found!r}, none of {', '.join(order)}"
            self.faults.append((what, f"add it to the order, or name it with {option}"))
        return label

    def axis(self, name: str) -> float | None:
        low, high = self.recipe.vad_scale or (0.0, 1.0)
        return self.number(
            name, lambda value: scale_vad(float(value), low, high), f"a number {low:g} to {high:g}"
        )

    def number(self, name: str, parse: Callable[[str], Any], wanted: str) -> Any:
        value = self.field(name)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError:
            remedy = "mend it, or empty the field; --missing names values that mean empty"
            self.faults.append((f"{name} is {value!r}, not {wanted}", remedy))
            return None


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError(value)
    return int(value)


def _score(value: str) -> float:
    low, high = SCORE_SCALE
    if not low <= float(value) <= high:
        raise ValueError(value)
    return float(value)
