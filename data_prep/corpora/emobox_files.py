"""EmoBox's folder of one corpus, read: its folds, its label map and, if asked, its speakers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from data_prep.errors import (
    Fault,
    ManifestError,
    raise_faults,
)
from data_prep.files.documents import (
    ForeignDocument,
    load_json,
    validate,
)
from data_prep.files.visible import visible
from data_prep.manifest.cells import find_id_fault
from data_prep.manifest.records import (
    SPLITS,
    segment_fault,
)
from data_prep.tables.reader import open_table

LABEL_FILE = "label_map.json"
SPEAKER_FILE = "data.seg.wrd.stm"
NEEDED = ("key", "dataset", "wav", "type", "emo")
_FOLD = re.compile(r"fold_(\d+)")
_SPEAKER = re.compile(r"<id=([^,>]+),.*?spk=([^,>]+),")
_COMPARE = "compare with the published metadata"


_Text = Annotated[str, Field(min_length=1)]


def _raw(kind: str) -> str:
    if kind != "raw":
        raise ValueError(f"it is {kind!r}; only 'raw', a sound file, can be read")
    return kind


def _key(key: str) -> str:
    if fault := find_id_fault(key):  # before files are named by it
        raise ValueError("; ".join(fault))
    return key


class EmoBoxLine(ForeignDocument):
    """The keys of a line that are used."""

    key: Annotated[_Text, AfterValidator(_key)]
    dataset: _Text
    wav: _Text
    type: Annotated[str, AfterValidator(_raw)]
    emo: _Text
    start_time: Annotated[float, Field(ge=0)] | None = None
    end_time: Annotated[float, Field(ge=0)] | None = None


Parts = dict[str, list[str]]  # "train", "valid", "test" -> keys


@dataclass(frozen=True)
class Item:
    """One line of the metadata."""

    key: str
    dataset: str
    wav: str
    emo: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class EmoBoxFolder:
    """All that the folder says. `folds` is {"1": {"train": keys, ...}, ...}."""

    items: Mapping[str, Item]
    folds: Mapping[str, Parts]
    label_of: Mapping[str, str]
    repeated: Mapping[str, str]  # key -> the reason why a second line of it is left out
    unused: tuple[str, ...]  # metadata files of other sets


def read_emobox(folder: Path) -> EmoBoxFolder:
    """Read fold_*/{corpus}_{train,valid,test}_fold_*.jsonl and the label map.

    Raises ManifestError where the layout, a line or two lines of one key are not as published.
    """
    label_of = _read_label_map(folder)
    found = [(match[1], path) for path in folder.iterdir() if (match := _FOLD.fullmatch(path.name))]
    if not found:
        what = "holds no fold_1/, fold_2/ ..."
        remedy = "name the folder of one corpus in EmoBox's data/, such as data/iemocap"
        raise ManifestError(Fault(str(folder), None, what, remedy))
    items: dict[str, Item] = {}
    repeated: dict[str, str] = {}
    folds = {}
    unused: list[str] = []
    faults: list[Fault] = []
    for number, path in sorted(found, key=lambda pair: int(pair[0])):
        parts: Parts = {}
        for split in SPLITS:
            for file in visible(path.glob(f"*_{split}_fold_{number}.jsonl")):
                parts[split] = _read_part(file, items, parts, repeated, faults)
        folds[number] = parts
        known = {f"_{split}_fold_{number}" for split in parts}
        unused += [
            f"{path.name}/{file.name}"
            for file in visible(path.glob("*.jsonl"))
            if not any(file.stem.endswith(part) for part in known)
        ]
        for split in ("train", "test"):
            if not parts.get(split):
                what = f"no *_{split}_fold_{number}.jsonl with a row"
                faults.append(Fault(str(path), None, what, _COMPARE))
    raise_faults(faults)
    return EmoBoxFolder(items, folds, label_of, repeated, tuple(unused))


def _read_label_map(folder: Path) -> dict[str, str]:
    path = folder / LABEL_FILE
    remedy = "name the folder of one corpus in EmoBox's data/, such as data/iemocap"
    label_of = load_json(path, dict[str, _Text], remedy=_COMPARE if path.exists() else remedy)
    return {key: " ".join(label.split()) for key, label in label_of.items()}


def _read_part(
    path: Path, items: dict[str, Item], parts: Parts, repeated: dict[str, str], faults: list[Fault]
) -> list[str]:
    """The keys of one file; fills `items`, `repeated` and `faults`."""
    keys: dict[str, None] = {}
    taken = {key for others in parts.values() for key in others}
    for line, item in _read_lines(path, faults):
        if items.setdefault(item.key, item) != item:
            what = f"key {item.key!r} says other things than in an earlier line or file"
            faults.append(Fault(str(path), line, what, _COMPARE))
        elif item.key in keys:
            repeated[item.key] = f"a second line of {path.name} has its key"
        elif item.key in taken:
            what = f"key {item.key!r} is in two sets of this fold"
            faults.append(Fault(str(path), line, what, _COMPARE))
        keys[item.key] = None
    return list(keys)


def _read_lines(path: Path, faults: list[Fault]) -> Iterator[tuple[int, Item]]:
    for row in open_table(path).rows():
        if row.fault is not None:
            faults.append(row.fault)
            continue
        try:
            line = validate(dict(row.cells), EmoBoxLine, name=path, remedy=_COMPARE, row=row.number)
        except ManifestError as error:
            fault = error.fault
            faults.append(fault if isinstance(fault, Fault) else _fault(path, row.number, fault))
            continue
        times = line.start_time, line.end_time
        if odd := segment_fault(line.wav, *times):
            faults.append(Fault(str(path), row.number, odd[0], _COMPARE))
            continue
        yield row.number, Item(line.key, line.dataset, line.wav, line.emo, *times)


def _fault(path: Path, number: int, what: str) -> Fault:
    return Fault(str(path), number, what, _COMPARE)


@dataclass(frozen=True)
class Speakers:
    """What data.seg.wrd.stm says: key -> its speaker, and the lines that say none ("row N")."""

    speaker_of: Mapping[str, str] = field(default_factory=dict)
    odd_lines: tuple[str, ...] = ()


def read_speakers(folder: Path) -> Speakers:
    """Read data.seg.wrd.stm, whose lines from `;;` on are remarks.

    Raises ManifestError without that file.
    """
    path = folder / SPEAKER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        remedy = "leave out --speakers, or fetch the file"
        raise ManifestError(Fault(str(path), None, f"cannot be read ({error})", remedy)) from None
    speaker_of: dict[str, str] = {}
    odd_lines = []
    for row, line in enumerate(text.splitlines(), start=1):
        if match := _SPEAKER.search(line):
            speaker_of[match[1]] = match[2]
        elif line.strip() and not line.startswith(";;"):
            odd_lines.append(f"row {row}")
    return Speakers(speaker_of, tuple(odd_lines))
