"""`folds/{protocol}.json`: which rows are the train, valid and test set of each fold, in and out.

    {"protocol": "leave_one_session_out", "unit": "session", "seed": 1, "base": "all",
     "sha256": digest of the ids,
     "folds": {"1": {"train": [ids], "valid": [ids], "test": [ids]}, "2": ...}}

`unit` is what is held out whole; `base` is the split whose rows are meant, or a list of splits
whose union is. `composition`, which files of earlier versions lack, is for people: the rows,
speakers, genders and labels of each set. The file is written once: other folds never take its place
unasked.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from data_prep.errors import Fault, ManifestError
from data_prep.files.documents import Document, bare_name, load_json
from data_prep.folds.protocols import check_leaks
from data_prep.folds.records import Folds
from data_prep.manifest.records import SPLITS, Utterance
from data_prep.manifest.tsv import read_manifest, write_atomically
from data_prep.messages import first_few

FOLDS_FOLDER = "folds"
_AGAIN = "make it again, with --force"
_MAX_BYTES = 2**30  # each id is there once a fold
_SHOWN = 5  # faults in one message

logger = logging.getLogger(__name__)


Base = Annotated[str, AfterValidator(bare_name)]  # a split is the name of a manifest


def _ids(ids: list[str]) -> list[str]:
    if not ids:
        raise ValueError("it is empty")
    return ids


Ids = Annotated[list[str], AfterValidator(_ids)]


class FoldSets(Document):
    """The ids of each set of one fold."""

    train: Ids
    valid: Ids
    test: Ids


class SetComposition(Document):
    """What one set of one fold is made of: `labels` counts each label of a column."""

    rows: int
    speakers: int
    genders: dict[str, int]
    labels: dict[str, dict[str, int]]


class FoldsFile(Document):
    """The schema of the file. Files that others wrote have no `sha256`, and no `composition`."""

    protocol: str
    unit: Literal["session", "speaker", "dialogue", "row"]
    seed: int
    base: Base | Annotated[list[Base], Field(min_length=1)]
    sha256: str | None = None
    folds: Annotated[dict[str, FoldSets], Field(min_length=1)]
    composition: dict[str, dict[str, SetComposition]] | None = None


def folds_path(data_dir: str | Path, protocol: str) -> Path:
    """Where the folds of a protocol lie."""
    return Path(data_dir) / FOLDS_FOLDER / f"{protocol}.json"


def read_base(data_dir: str | Path, bases: Sequence[str]) -> list[Utterance]:
    """The rows of these splits, one after the other. Raises ManifestError where one is bad."""
    return [row for split in bases for row in read_manifest(Path(data_dir) / f"{split}.tsv")]


def read_folds(path: str | Path, *, check_apart: bool = True) -> Folds:
    """Read `DATA/folds/{protocol}.json` and hold it against the manifests of DATA.

    Args:
        path: the file.
        check_apart: refuse sets that share what the protocol keeps apart.

    Raises:
        ManifestError: no such file, not of the schema `FoldsFile`, an id that no row has, an id
            twice in a fold, sets that are not kept apart, or ids that have changed since the file
            was written.
    """
    path = Path(path)
    data_dir = path.parent.parent
    if not path.exists():
        remedy = f"make it: python -m data_prep.folds {data_dir} --protocol {path.stem}"
        raise ManifestError(Fault(str(path), None, "no such folds", remedy))
    content = _load(path)
    folds = _folds_of(content)
    if folds.protocol != path.stem:
        what = f"its protocol is {folds.protocol!r}, by which it would be {folds.protocol}.json"
        raise ManifestError(Fault(str(path), None, what, "name it as it was"))
    rows = read_base(data_dir, folds.bases)
    known = dict.fromkeys(row.id for row in rows)
    faults = fold_faults(folds, known) or (check_leaks(folds, rows) if check_apart else [])
    if faults:
        raise ManifestError(Fault(str(path), None, _first_faults(faults), _AGAIN))
    if content.sha256 not in (None, ids_digest(folds)):
        what = "its sets have changed since it was written, by its sha256"
        remedy = f"{_AGAIN}, or delete the key sha256 to keep folds of your own"
        raise ManifestError(Fault(str(path), None, what, remedy))
    placed = {row for sets in folds.folds.values() for split in SPLITS for row in sets[split]}
    if unplaced := [row for row in known if row not in placed]:
        logger.warning("%s: %d rows are in no fold: %s", path, len(unplaced), first_few(unplaced))
    return folds


def fold_names(path: str | Path) -> list[str]:
    """The names of the folds in a file, whether or not the manifests are there.

    Raises:
        ManifestError: it is not of the schema `FoldsFile`.
    """
    return list(_load(path).folds)


def _load(path: str | Path) -> FoldsFile:
    return load_json(path, FoldsFile, remedy=_AGAIN, max_bytes=_MAX_BYTES)


def _first_faults(faults: Sequence[str]) -> str:
    more = [f"and {len(faults) - _SHOWN} more faults"] if len(faults) > _SHOWN else []
    return "; ".join([*faults[:_SHOWN], *more])


def _folds_of(content: FoldsFile) -> Folds:
    base = content.base
    bases = (base,) if isinstance(base, str) else tuple(base)
    folds = {
        name: {split: tuple(getattr(sets, split)) for split in SPLITS}
        for name, sets in content.folds.items()
    }
    return Folds(content.protocol, content.unit, content.seed, bases, folds)


def ids_digest(folds: Folds) -> str:
    """SHA-256 of the ids of every set of every fold, in their order."""
    content = [
        [name, split, list(sets[split])] for name, sets in folds.folds.items() for split in SPLITS
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


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
    content: dict[str, object] = {
        "protocol": folds.protocol,
        "unit": folds.unit,
        "seed": folds.seed,
        "base": folds.bases[0] if len(folds.bases) == 1 else list(folds.bases),
        "sha256": ids_digest(folds),
        "folds": {
            name: {split: list(sets[split]) for split in SPLITS}
            for name, sets in folds.folds.items()
        },
    }
    if folds.composition:
        content["composition"] = folds.composition
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def refuse_other_folds(path: Path, folds: Folds) -> None:
    """Raise ManifestError when `path` holds other folds, whatever composition it records."""
    if not path.exists():
        return
    try:
        there = _folds_of(load_json(path, FoldsFile, remedy=_AGAIN, max_bytes=_MAX_BYTES))
        is_same = ids_digest(there) == ids_digest(folds) and _about(there) == _about(folds)
    except ManifestError:
        is_same = False
    if not is_same:
        what = "holds other folds, of other rows or made with other options"
        raise ManifestError(Fault(str(path), None, what, "keep them, or replace them with --force"))


def _about(folds: Folds) -> tuple[str, str, int, tuple[str, ...]]:
    return folds.protocol, folds.unit, folds.seed, tuple(folds.bases)


def store_folds(path: Path, text: str) -> None:
    """Write the file whole or not at all; leave it alone where it is as it should be."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
