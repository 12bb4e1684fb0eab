"""`folds/{protocol}.json`: which rows are the train, valid and test set of each fold, in and out.

    {"protocol": "leave_one_session_out", "unit": "session", "seed": 1, "base": "all",
     "folds": {"1": {"train": [ids], "valid": [ids], "test": [ids]}, "2": ...}}

`unit` is what is held out whole; `base` is the split whose rows are meant, or a list of splits
whose union is. The file is written once: other folds never take its place unasked.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.manifest import read_manifest, write_atomically
from data_prep.naming import first_few
from data_prep.records import SPLITS, Fault, ManifestError, Utterance

FOLDS_FOLDER = "folds"
UNITS = ("session", "speaker", "dialogue", "row")
_KEYS = ("protocol", "unit", "seed", "base", "folds")

logger = logging.getLogger(__name__)

Sets = Mapping[str, Sequence[str]]  # "train", "valid" and "test" -> ids


@dataclass(frozen=True)
class Folds:
    """The folds of one protocol; `bases` are the splits whose rows they divide."""

    protocol: str
    unit: str
    seed: int
    bases: tuple[str, ...]
    folds: Mapping[str, Sets]

    @property
    def base(self) -> str:
        """The one split whose rows are divided. Raises ValueError where they are of several."""
        if len(self.bases) > 1:
            raise ValueError(
                f"the folds of {self.protocol} divide {len(self.bases)} splits together "
                f"({', '.join(self.bases)}), where rows of one are wanted; prepare the corpus as "
                "one split, or make folds of one with --base"
            )
        return self.bases[0]


def folds_path(data_dir: str | Path, protocol: str) -> Path:
    """Where the folds of a protocol lie."""
    return Path(data_dir) / FOLDS_FOLDER / f"{protocol}.json"


def read_base(data_dir: str | Path, bases: Sequence[str]) -> list[Utterance]:
    """The rows of these splits, one after the other. Raises ManifestError where one is bad."""
    return [row for split in bases for row in read_manifest(Path(data_dir) / f"{split}.tsv")]


def read_folds(path: str | Path) -> Folds:
    """Read `DATA/folds/{protocol}.json` and hold it against the manifests of DATA.

    Raises ManifestError for what is no such file, an id that no row has, an id twice in a fold, or
    an empty set.
    """
    path = Path(path)
    try:
        folds = _parse(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        remedy = f"make it: python -m data_prep.folds {path.parent.parent} --protocol {path.stem}"
        raise ManifestError(Fault(str(path), None, "no such folds", remedy)) from None
    except (ValueError, TypeError, AttributeError) as error:
        what = f"cannot be understood ({error})"
        raise ManifestError(Fault(str(path), None, what, "make it again, with --force")) from None
    known = dict.fromkeys(row.id for row in read_base(path.parent.parent, folds.bases))
    if faults := fold_faults(folds, known):
        remedy = "make it again, with --force"
        raise ManifestError(Fault(str(path), None, "; ".join(faults), remedy))
    placed = {row for sets in folds.folds.values() for split in SPLITS for row in sets[split]}
    if unplaced := [row for row in known if row not in placed]:
        logger.warning("%s: %d rows are in no fold: %s", path, len(unplaced), first_few(unplaced))
    return folds


def _parse(content: Any) -> Folds:
    if missing := [key for key in _KEYS if key not in content]:
        raise ValueError(f"it has no {', '.join(missing)}")
    if content["unit"] not in UNITS:
        raise ValueError(f"unit is {content['unit']!r}, none of {', '.join(UNITS)}")
    if not content["folds"]:
        raise ValueError("it has no fold")
    base = content["base"]
    bases = (base,) if isinstance(base, str) else tuple(map(str, base))
    if not bases:
        raise ValueError("base names no split")
    folds = {}
    for name, sets in content["folds"].items():
        if sorted(sets) != sorted(SPLITS):
            raise ValueError(f"fold {name} has the sets {', '.join(sets)}, not {', '.join(SPLITS)}")
        if odd := [split for split in SPLITS if not isinstance(sets[split], list)]:
            raise ValueError(f"fold {name}: {odd[0]} is no list of ids")
        folds[str(name)] = {split: tuple(map(str, sets[split])) for split in SPLITS}
    return Folds(str(content["protocol"]), content["unit"], int(content["seed"]), bases, folds)


def fold_faults(folds: Folds, known: Collection[str]) -> list[str]:
    """What is wrong with the ids: unknown ones, ids twice in a fold, empty sets."""
    faults = []
    for name, sets in folds.folds.items():
        times = Counter(row for split in SPLITS for row in sets[split])
        if unknown := [row for row in times if row not in known]:
            faults.append(
                f"fold {name}: {first_few(unknown)} "
                f"{'is' if len(unknown) == 1 else 'are'} no row of {', '.join(folds.bases)}"
            )
        if twice := [row for row, count in times.items() if count > 1]:
            faults.append(f"fold {name}: {first_few(twice)} in more than one place")
        faults += [f"fold {name}: {split} is empty" for split in SPLITS if not sets[split]]
    return faults


def render_folds(folds: Folds) -> str:
    """The text of the file: one id a line, so that a change shows which."""
    content = {
        "protocol": folds.protocol,
        "unit": folds.unit,
        "seed": folds.seed,
        "base": folds.bases[0] if len(folds.bases) == 1 else list(folds.bases),
        "folds": {
            name: {split: list(sets[split]) for split in SPLITS}
            for name, sets in folds.folds.items()
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def refuse_other_folds(path: Path, text: str) -> None:
    """Raise ManifestError when `path` holds other folds than `text`."""
    if path.exists() and path.read_text(encoding="utf-8") != text:
        what = "holds other folds, of other rows or made with other options"
        raise ManifestError(Fault(str(path), None, what, "keep them, or replace them with --force"))


def store_folds(path: Path, text: str) -> None:
    """Write the file whole or not at all; leave it alone where it is as it should be."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
