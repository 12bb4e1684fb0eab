"""EmoBox's folder of one corpus, read: its folds, its label map and, if asked, its speakers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.cells import find_id_fault
from data_prep.files.visible import visible
from data_prep.records import SPLITS, Fault, ManifestError, raise_faults
from data_prep.tables.reader import open_table

LABEL_FILE = "label_map.json"
SPEAKER_FILE = "data.seg.wrd.stm"
NEEDED = ("key", "dataset", "wav", "type", "emo")
_FOLD = re.compile(r"fold_(\d+)")
_SPEAKER = re.compile(r"<id=([^,>]+),.*?spk=([^,>]+),")
_COMPARE = "compare with the published metadata"

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
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        remedy = "name the folder of one corpus in EmoBox's data/, such as data/iemocap"
        raise ManifestError(Fault(str(path), None, error.strerror or str(error), remedy)) from None
    except ValueError as error:
        raise ManifestError(Fault(str(path), None, f"no JSON ({error})", _COMPARE)) from None
    if not isinstance(found, dict) or not all(
        isinstance(label, str) and label for label in found.values()
    ):
        raise ManifestError(Fault(str(path), None, "does not map labels to labels", _COMPARE))
    return {key: " ".join(label.split()) for key, label in found.items()}


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
            yield row.number, _item(row.cells)
        except (ValueError, TypeError) as error:
            faults.append(Fault(str(path), row.number, f"no line of EmoBox ({error})", _COMPARE))


def _item(row: Mapping[str, Any]) -> Item:
    if missing := [key for key in NEEDED if not row.get(key)]:
        raise ValueError(f"it has no {', '.join(missing)}")
    if row["type"] != "raw":
        raise ValueError(f"its type is {row['type']!r}; only 'raw', a sound file, can be read")
    key, dataset, wav, emo = (str(row[name]) for name in ("key", "dataset", "wav", "emo"))
    if fault := find_id_fault(key):  # before files are named by it
        raise ValueError("; ".join(fault))
    start, end = (
        None if row.get(name) is None else float(row[name]) for name in ("start_time", "end_time")
    )
    return Item(key, dataset, wav, emo, start, end)


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
