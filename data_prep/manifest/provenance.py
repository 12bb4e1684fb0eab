"""Provenance: the rows from which a checkpoint, predictions, prototypes or a tokenizer were made.

Metrics on rows that a model has seen, directly or through its parts, are meaningless. So everything
that is fitted on rows records them, and everything that uses it compares the record with the rows
that are held out now.

Leaks are mostly partial (another fold of the same corpus), which one digest of all ids cannot
detect. Each row is therefore recorded by the first 8 bytes of the SHA-256 of its id: 800 kB for
100,000 rows, 1.07 MB as base64 in JSON or in a checkpoint. For 100,000 recorded rows and 10,000
others, the probability of a collision is about 5e-11. Ids cannot be recovered.

Rows are the same if their corpus and id are: ids such as "0001" occur in many corpora, and the
folder of a corpus may change. In a data dir of several corpora, the corpus is that of the row, and
the prefix that :mod:`data_prep.combine` adds to the id is removed, so that a row is the same alone
and combined. A corpus that is prepared under two names is not recognized; where *all* held-out ids
occur under another name, the caller can warn.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from data_prep.files.digests import file_digest
from data_prep.files.documents import (
    Count,
    Document,
    load_json,
    validate,
)
from data_prep.files.replacing import replacing
from data_prep.manifest.records import Utterance

TRAINED, SELECTED = "trained", "selected"  # rows that fitted a model; rows that chose a checkpoint
UNNAMED = ""  # the corpus of a data dir without corpus.yaml
ENDING = ".provenance.json"  # of the record of a predictions file
_HASH_BYTES = 8
_REMEDY = "make it again, or remove it and give --allow-leak knowingly"

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Rows of one split of one corpus.

    Attributes:
        corpus: name in corpus.yaml, or `UNNAMED`.
        split: name of the split, such as ``train``.
        fold: PROTOCOL/FOLD of the split; None for a split on disk.
        use: `TRAINED` or `SELECTED`.
        hashes: (N,), hashes of the ids, sorted and unique.
    """

    corpus: str
    split: str
    fold: str | None
    use: str
    hashes: Hashes

    @property
    def key(self) -> tuple[str, str, str | None, str]:
        """Return all attributes but the hashes."""
        return self.corpus, self.split, self.fold, self.use

    def __str__(self) -> str:
        where = self.split if self.fold is None else f"{self.split} of {self.fold}"
        return f"{where} of {self.corpus or 'an unnamed corpus'}"


@dataclass(frozen=True, eq=False)
class Provenance:
    """The rows from which something was made, directly or through its parts.

    Attributes:
        seen: rows, at most one entry per corpus, split, fold and use.
        unknown: descriptions of its parts without a record.
        allowed: messages of leaks permitted by ``--allow-leak``.
        transductive: how predictions depend on other rows of the scored split, without labels.
    """

    seen: tuple[SeenRows, ...] = ()
    unknown: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    transductive: tuple[str, ...] = ()

    def merged(self, *others: Provenance) -> Provenance:
        """Return the union of several records."""
        rows: dict[tuple[str, str, str | None, str], SeenRows] = {}
        for part in (self, *others):
            for seen in part.seen:
                before = rows.get(seen.key)
                hashes = seen.hashes if before is None else np.union1d(before.hashes, seen.hashes)
                rows[seen.key] = replace(seen, hashes=hashes)
        return Provenance(
            tuple(rows.values()),
            tuple(dict.fromkeys(x for part in (self, *others) for x in part.unknown)),
            tuple(dict.fromkeys(x for part in (self, *others) for x in part.allowed)),
            tuple(dict.fromkeys(x for part in (self, *others) for x in part.transductive)),
        )

    def overlap(
        self, rows: Iterable[Utterance], corpus: str | None, uses: Sequence[str] = (TRAINED,)
    ) -> list[str]:
        """Return the ids of the rows that were seen, in order."""
        seen: dict[str, list[Hashes]] = {}
        for part in self.seen:
            if part.use in uses:
                seen.setdefault(part.corpus, []).append(part.hashes)
        if not seen:
            return []
        rows = rows if isinstance(rows, Sequence) else list(rows)
        hashes = id_hashes(rows)
        overlap: list[str] = []
        for name, own in _rows_of_corpora(rows, corpus).items():
            if name in seen:
                is_seen = np.isin(hashes[own], np.concatenate(seen[name]))
                overlap += [rows[row].id for row in own[is_seen].tolist()]
        return overlap

    def namesakes(self, rows: Sequence[Utterance], corpus: str | None) -> str | None:
        """Return another corpus whose recorded rows have *all* of these ids; None without."""
        own = _distinct(id_hashes(rows))
        names = {*_rows_of_corpora(rows, corpus)}
        others: dict[str, list[Hashes]] = {}
        for part in self.seen:
            if part.use == TRAINED and part.corpus not in names:
                others.setdefault(part.corpus, []).append(part.hashes)
        for name, hashes in others.items():
            if len(own) and np.isin(own, np.concatenate(hashes)).all():
                return name or "an unnamed corpus"
        return None

    def to_state(self) -> dict[str, Any]:
        """Return plain values, for JSON and checkpoints."""
        return {
            "seen": [
                {
                    "corpus": part.corpus,
                    "split": part.split,
                    "fold": part.fold,
                    "use": part.use,
                    "n": len(part.hashes),
                    "ids": base64.b64encode(part.hashes.astype("<u8").tobytes()).decode("ascii"),
                }
                for part in self.seen
            ],
            "unknown": list(self.unknown),
            "allowed": list(self.allowed),
            "transductive": list(self.transductive),
        }

    @classmethod
    def from_state(cls, state: object, file: str | Path) -> Provenance:
        """Restore a record from the result of :meth:`to_state`.

        Raises:
            ManifestError: it violates the schema `ProvenanceState`; names `file`.
        """
        content = validate(state, ProvenanceState, name=file, remedy=_REMEDY, at="provenance")
        return content.to_provenance()


class SeenState(Document):
    """Schema of `SeenRows` as plain values: `ids` holds its `n` hashes in base64."""

    corpus: str
    split: str
    fold: str | None
    use: Literal["trained", "selected"]
    n: Count
    ids: str

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        n_bytes = len(_decode(self.ids))
        if n_bytes != self.n * _HASH_BYTES:
            raise ValueError(f"ids are {n_bytes} bytes, where {self.n} rows have 8 each")
        return self

    def to_rows(self) -> SeenRows:
        """Convert to rows, with their hashes as an array."""
        hashes = np.frombuffer(_decode(self.ids), dtype="<u8").astype(np.uint64)
        return SeenRows(self.corpus, self.split, self.fold, self.use, hashes)


class ProvenanceState(Document):
    """Schema of the result of :meth:`Provenance.to_state`."""

    seen: list[SeenState]
    unknown: list[str]
    allowed: list[str]
    transductive: list[str] = Field(default_factory=list)

    def to_provenance(self) -> Provenance:
        """Convert to a record, with hashes as arrays."""
        rows = tuple(part.to_rows() for part in self.seen)
        return Provenance(rows, tuple(self.unknown), tuple(self.allowed), tuple(self.transductive))


class BesideState(ProvenanceState):
    """Schema of the record of a file; `sha256` is the digest of its content.

    `model` is the digest of the output layer of the model that predicted; empty where that is not
    known.
    """

    sha256: str
    model: str = ""


def _decode(ids: str) -> bytes:
    try:
        return base64.b64decode(ids, validate=True)
    except binascii.Error as error:
        raise ValueError(f"ids are no base64 ({error})") from error


def seen_rows(
    rows: Iterable[Utterance],
    corpus: str | None,
    split: str,
    fold: str | None = None,
    use: str = TRAINED,
) -> Provenance:
    """Record rows of a data dir."""
    rows = rows if isinstance(rows, Sequence) else list(rows)
    hashes = id_hashes(rows)
    return Provenance(
        tuple(
            SeenRows(name, split, fold, use, _distinct(hashes[own]))
            for name, own in _rows_of_corpora(rows, corpus).items()
        )
    )


def id_hashes(rows: Sequence[Utterance]) -> Hashes:
    """Return the hash of each row's id within its corpus, (N,)."""
    from data_prep.manifest.table import ID_HASH, ManifestTable, ids_of, values

    if not isinstance(rows, ManifestTable):
        names: Iterable[tuple[Any, Any]] = ((row.id, row.corpus) for row in rows)
    elif (stored := rows.derived(ID_HASH)) is not None:
        return np.asarray(stored, dtype=np.uint64)
    else:
        names = zip(ids_of(rows), values(rows, "corpus"), strict=True)
    return np.array([_hash(_bare_id(name, corpus)) for name, corpus in names], dtype=np.uint64)


def _rows_of_corpora(
    rows: Sequence[Utterance], corpus: str | None
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the numbers of the rows of each corpus, that of the first row first."""
    from data_prep.manifest.table import codes

    number_of, names = codes(rows, "corpus")
    own: dict[str, npt.NDArray[np.int64]] = {}
    for number in np.unique(number_of).tolist():
        name = (names[number] if number >= 0 else "") or corpus or UNNAMED
        numbered = np.flatnonzero(number_of == number)
        own[name] = np.union1d(own[name], numbered) if name in own else numbered
    return dict(sorted(own.items(), key=lambda item: int(item[1][0])))


def _distinct(hashes: Hashes) -> Hashes:
    """Return the different ones, sorted. Of a million, np.unique takes ten times as long."""
    ordered = np.sort(hashes)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)]]


def _bare_id(name: str, corpus: str | None) -> str:
    return name if corpus is None else name.removeprefix(f"{corpus}/")


def _hash(name: str) -> int:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_HASH_BYTES], "little")


# -- Records of predictions files ------------------------------------------------------------------


def provenance_path(file: Path) -> Path:
    """Return the path of the record of a file.

    >>> provenance_path(Path("run/predictions.tsv")).name
    'predictions.tsv.provenance.json'
    """
    return file.with_name(file.name + ENDING)


def write_beside(file: Path, provenance: Provenance, model: str = "") -> None:
    """Write the record of an existing file, with its digest, and that of its model if known."""
    content = {"sha256": file_digest(file), **provenance.to_state()}
    content |= {"model": model} if model else {}
    with replacing(provenance_path(file)) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_beside(file: Path) -> Provenance | None:
    """Read the record of a file; None if there is none, or if the file has changed.

    Raises:
        ManifestError: the record is invalid.
    """
    record = _read_unchanged(file)
    return None if record is None else record.to_provenance()


def model_beside(file: Path) -> str:
    """Return the digest of the model that wrote a file; empty if unknown, or if it has changed.

    Raises:
        ManifestError: the record is invalid.
    """
    record = _read_unchanged(file)
    return "" if record is None else record.model


def _read_unchanged(file: Path) -> BesideState | None:
    record = _read(provenance_path(file))
    if record is None or record.sha256 not in (file_digest(file), _digest_of_lines(file)):
        return None
    return record


def _digest_of_lines(file: Path) -> str:
    """Return the digest of a text file as it was before an editor or a spreadsheet saved it.

    They add Windows line ends, a byte order mark, and empty cells or lines at the end, which
    readers of predictions ignore.
    """
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    return hashlib.sha256(content.rstrip(b"\t\n") + b"\n").hexdigest()


def allowed_leaks(file: Path) -> tuple[str, ...]:
    """Return the messages of leaks that ``--allow-leak`` permitted when a file was made.

    They are also returned if the file has changed since, which does not remove a leak.

    Raises:
        ManifestError: the record is invalid.
    """
    record = _read(provenance_path(file))
    return () if record is None else tuple(record.allowed)


def transductive_notes(file: Path) -> tuple[str, ...]:
    """Return how the predictions in a file depend on other rows of the scored split.

    Raises:
        ManifestError: the record is invalid.
    """
    record = _read(provenance_path(file))
    return () if record is None else tuple(record.transductive)


def _read(beside: Path) -> BesideState | None:
    """Read a record; None if there is none."""
    return load_json(beside, BesideState, remedy=_REMEDY) if beside.is_file() else None
