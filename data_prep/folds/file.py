"""Read and write `folds/{protocol}.json`: the train, valid and test rows of each fold.

    {"protocol": "leave_one_session_out", "unit": "session", "seed": 1, "base": "all",
     "sha256": digest of the ids,
     "folds": {"1": {"train": [ids], "valid": [ids], "test": [ids]}, "2": ...}}

`unit` is what is held out whole; `base` is the split whose rows are divided, or a list of splits.
`composition` (absent in files of earlier versions) is for people: the rows, speakers, genders and
labels of each set. An existing file is never replaced by other folds unless that is forced.
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

from data_prep.errors import CodedError, Fault, ManifestError
from data_prep.files.documents import Document, bare_name, load_json
from data_prep.files.replacing import write_atomically
from data_prep.folds.protocols import FoldOptions, check_leaks, make_folds
from data_prep.folds.records import ALL, Folds, composition_lines, context_notes
from data_prep.manifest.cells import shown
from data_prep.manifest.labels import check_folds
from data_prep.manifest.table import ManifestTable, rows_of_ids
from data_prep.messages import first_few
from data_prep.schema import SPLITS, Corpus, Utterance, read_manifest, shared_values, write_corpus

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
    """Return the path of a protocol's folds."""
    return Path(data_dir) / FOLDS_FOLDER / f"{protocol}.json"


def read_base(data_dir: str | Path, bases: Sequence[str]) -> ManifestTable:
    """Read the rows of these splits, in this order.

    Raises:
        ManifestError: a faulty row, or an id that two of the splits have.
    """
    tables = {split: read_manifest(Path(data_dir) / f"{split}.tsv") for split in bases}
    for row_id, (first, *_, last) in shared_values(tables, "id").items():
        problem = f"id {shown(row_id)} is in {first}.tsv, too, and folds join both"
        remedy = "give every row its own id"
        file = str(Path(data_dir) / f"{last}.tsv")
        raise ManifestError(Fault(file, None, problem, remedy, "id-duplicate"))
    return ManifestTable.joined(list(tables.values()))


def read_folds(path: str | Path, *, check_apart: bool = True) -> Folds:
    """Read `DATA/folds/{protocol}.json` and check it against the manifests of DATA.

    Raises:
        ManifestError: no such file, not of the schema `FoldsFile`, an unknown id, an id twice in a
            fold, sets that share what is kept apart, or ids changed since the file was written.
    """
    path = Path(path)
    data_dir = path.parent.parent
    if not path.exists():
        remedy = f"make it: python -m data_prep.folds {data_dir} --protocol {path.stem}"
        raise ManifestError(Fault(str(path), None, "no such folds", remedy, "folds-missing"))
    content = _load(path)
    folds = _folds_of(content)
    if folds.protocol != path.stem:
        problem = f"its protocol is {folds.protocol!r}, which belongs into {folds.protocol}.json"
        remedy = "rename the file"
        raise ManifestError(Fault(str(path), None, problem, remedy, "folds-misnamed"))
    rows = read_base(data_dir, folds.bases)
    known = dict.fromkeys(row.id for row in rows)
    faults = fold_faults(folds, known) or (check_leaks(folds, rows) if check_apart else [])
    if faults:
        problem = _first_faults(faults)
        raise ManifestError(Fault(str(path), None, problem, _AGAIN, "folds-invalid"))
    if content.sha256 not in (None, ids_digest(folds)):
        problem = "its sets have changed since it was written, by its sha256"
        remedy = f"{_AGAIN}, or delete the key sha256 to keep folds of your own"
        raise ManifestError(Fault(str(path), None, problem, remedy, "folds-changed"))
    used = {row for sets in folds.folds.values() for split in SPLITS for row in sets[split]}
    if unused := [row for row in known if row not in used]:
        logger.warning("%s: %d rows are in no fold: %s", path, len(unused), first_few(unused))
    return folds


def fold_names(path: str | Path) -> list[str]:
    """Return the names of the folds in a file, without reading the manifests.

    Raises:
        ManifestError: it is not of the schema `FoldsFile`.
    """
    return list(_load(path).folds)


def train_set(data_dir: str | Path, fold: str | None) -> ManifestTable:
    """Read the rows of the train split, or of the train set of a fold.

    Raises:
        ManifestError: there is no such fold.
    """
    if fold is None:
        return read_manifest(Path(data_dir) / "train.tsv")
    protocol, _, number = fold.partition("/")
    path = folds_path(data_dir, protocol)
    folds = read_folds(path)
    if number not in folds.folds:
        message = f"no fold {number!r}; it has {', '.join(folds.folds)}"
        raise ManifestError(
            Fault(str(path), None, message, "give --fold PROTOCOL/FOLD", "fold-unknown")
        )
    rows = read_base(data_dir, folds.bases)
    return rows.take(rows_of_ids(rows, folds.folds[number]["train"]))


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
    """Return the SHA-256 of the ids of every set of every fold, in their order."""
    content = [
        [name, split, list(sets[split])] for name, sets in folds.folds.items() for split in SPLITS
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def fold_faults(folds: Folds, known: Collection[str]) -> list[str]:
    """Return a sentence for each fault: unknown ids, ids twice in a fold, empty sets."""
    faults = []
    for name, sets in folds.folds.items():
        times = Counter(row for split in SPLITS for row in sets[split])
        if unknown := [row for row in times if row not in known]:
            faults.append(
                f"fold {name}: {first_few(unknown)} "
                f"{'is' if len(unknown) == 1 else 'are'} no row of {', '.join(folds.bases)}"
            )
        if twice := [row for row, count in times.items() if count > 1]:
            faults.append(f"fold {name}: {first_few(twice)} in more than one set")
        faults += [f"fold {name}: {split} is empty" for split in SPLITS if not sets[split]]
    return faults


# -- Writing ---------------------------------------------------------------------------------------


def write_folds(
    data_dir: str | Path, folds: Folds, utterances: Sequence[Utterance], *, force: bool = False
) -> Path:
    """Write `DATA/folds/{protocol}.json`, print which classes its sets lack, and return its path.

    Raises:
        CodedError: folds that leak or are faulty.
        ManifestError: the file holds other folds, and `force` is not given.
    """
    path = folds_path(data_dir, folds.protocol)
    text = _checked_text(path, folds, utterances, force)
    _store(path, text)
    for warning in check_folds(folds.folds, utterances):
        print(f"warning: {warning}")
    return path


def write_corpus_with_folds(
    out_dir: str | Path,
    corpus: Corpus,
    rows: Sequence[Utterance],
    protocols: Sequence[str],
    options: FoldOptions,
    *,
    force: bool = False,
) -> None:
    """Write a data dir of the one split `all` and the folds of `protocols`; print the first.

    A protocol that does not fit the rows, as in a part of a corpus, is noted in the card.

    Raises:
        ValueError: folds that leak, or that differ from existing ones; nothing is written then.
    """
    texts = {}
    lines: list[str] = []
    warnings: list[str] = []
    about: dict[str, dict[str, object]] = {}
    for protocol in protocols:
        try:
            folds, notes = make_folds(protocol, rows, [ALL], options)
        except ValueError as error:
            corpus.notes.append(f"folds {protocol} are not made: {error}")
            continue
        path = folds_path(out_dir, protocol)
        texts[path] = _checked_text(path, folds, rows, force)
        warnings += [f"folds {protocol}: {text}" for text in check_folds(folds.folds, rows)]
        if about:  # the sets of one protocol are enough to look at
            n_folds = f"{len(folds.folds)} fold{'' if len(folds.folds) == 1 else 's'}"
            lines.append(f"{protocol}: {n_folds}; {path} has the rows and labels of each set")
        else:
            lines += [f"{protocol} {line}" for line in composition_lines(folds.composition)]
        about[protocol] = {"unit": folds.unit, "folds": len(folds.folds), "seed": folds.seed}
        notes += context_notes(folds, rows)
        corpus.notes += [f"folds {protocol}: {note}" for note in notes]
    corpus.folds = about or None
    write_corpus(out_dir, corpus, {ALL: rows})
    for path, text in texts.items():
        _store(path, text)
    print(*lines, sep="\n")
    for warning in warnings:
        print(f"warning: {warning}")


def _checked_text(path: Path, folds: Folds, utterances: Sequence[Utterance], force: bool) -> str:
    faults = fold_faults(folds, {row.id for row in utterances}) or check_leaks(folds, utterances)
    if faults:
        problem = f"{path}: these folds are not written"
        raise CodedError("\n".join([problem, *faults]), "folds-invalid")
    text = render_folds(folds)
    if not force:
        refuse_other_folds(path, folds)
    return text


def render_folds(folds: Folds) -> str:
    """Return the text of the file: one id a line, so that a diff names the changed ids."""
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
    """Raise ManifestError if `path` holds other folds; their composition is not compared."""
    if not path.exists():
        return
    try:
        existing = _folds_of(_load(path))
        is_same = ids_digest(existing) == ids_digest(folds) and _about(existing) == _about(folds)
    except ManifestError:
        is_same = False
    if not is_same:
        problem = "holds other folds, of other rows or made with other options"
        remedy = "keep them, or replace them with --force"
        raise ManifestError(Fault(str(path), None, problem, remedy, "folds-exist"))


def _about(folds: Folds) -> tuple[str, str, int, tuple[str, ...]]:
    return folds.protocol, folds.unit, folds.seed, tuple(folds.bases)


def _store(path: Path, text: str) -> None:
    """Write the file atomically; leave a file with this text untouched."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
