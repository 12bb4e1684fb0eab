"""Which rows a checkpoint, a predictions file, prototypes or a tokenizer was made from.

A figure on rows that a model has seen, directly or through what it was built from, is worth
nothing. So everything that learns from rows records them, and everything that takes such a thing
compares the record with the rows that are held out now.

Leaks are mostly partial (another fold of the same corpus), which one digest of all ids cannot
find. Each row is therefore recorded by itself, as the first 8 bytes of the SHA-256 of its id:
800 kB for 100,000 rows, 1.07 MB as base64 in JSON or in a checkpoint. Of 100,000 recorded rows and
10,000 others, the chance that any two share a hash is about 5e-11. No id can be read from it.

Rows are the same if their corpus and their id are: ids such as "0001" occur in many corpora, while
the folder that a corpus lies in says nothing. In a data dir of several corpora the corpus is that
of the row, and the prefix that :mod:`data_prep.combine` puts before the id is taken off, so that a
row is the same alone and combined. A corpus that is prepared twice under two names is not
recognized; where *all* held-out ids occur under another name, the caller can warn.
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
from pydantic import model_validator

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
ENDING = ".provenance.json"  # of the record beside a predictions file
_HASH_BYTES = 8
_REMEDY = "make it again, or remove it and give --allow-leak knowingly"

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Rows of one split of one corpus.

    Attributes:
        corpus: its name in corpus.yaml, or `UNNAMED`.
        split: such as ``train``.
        fold: PROTOCOL/FOLD that the split was a set of; None for a split on disk.
        use: `TRAINED` or `SELECTED`.
        hashes: (N,) of the ids, sorted, each once.
    """

    corpus: str
    split: str
    fold: str | None
    use: str
    hashes: Hashes

    @property
    def key(self) -> tuple[str, str, str | None, str]:
        """All but the rows themselves."""
        return self.corpus, self.split, self.fold, self.use

    def __str__(self) -> str:
        where = self.split if self.fold is None else f"{self.split} of {self.fold}"
        return f"{where} of {self.corpus or 'an unnamed corpus'}"


@dataclass(frozen=True, eq=False)
class Provenance:
    """What something was made from, with what that was made from in turn.

    Attributes:
        seen: rows, at most one entry a corpus, split, fold and use.
        unknown: things without a record that it was made from, in words.
        allowed: leaks that ``--allow-leak`` let pass, a sentence each.
    """

    seen: tuple[SeenRows, ...] = ()
    unknown: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    def merged(self, *others: Provenance) -> Provenance:
        """The union of several records."""
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
        )

    def overlap(
        self, rows: Iterable[Utterance], corpus: str | None, uses: Sequence[str] = (TRAINED,)
    ) -> list[str]:
        """The ids of the rows that were seen, in their order.

        Args:
            rows: of a manifest.
            corpus: the name of their data dir's corpus; None without corpus.yaml.
            uses: which kinds of having been seen count.
        """
        seen: dict[str, list[Hashes]] = {}
        for part in self.seen:
            if part.use in uses:
                seen.setdefault(part.corpus, []).append(part.hashes)
        overlap: list[str] = []
        for name, ids in _by_corpus(rows, corpus).items():
            if name in seen:
                own = np.array([_hash(bare) for bare, _ in ids], dtype=np.uint64)
                is_seen = np.isin(own, np.concatenate(seen[name]))
                overlap += [ids[row][1] for row in np.flatnonzero(is_seen).tolist()]
        return overlap

    def namesakes(self, rows: Sequence[Utterance], corpus: str | None) -> str | None:
        """Another corpus in whose recorded rows *every* one of these ids occurs; None without."""
        own = np.unique(np.array([_hash(_bare_id(row)) for row in rows], dtype=np.uint64))
        names = {row.corpus or corpus or UNNAMED for row in rows}
        others: dict[str, list[Hashes]] = {}
        for part in self.seen:
            if part.use == TRAINED and part.corpus not in names:
                others.setdefault(part.corpus, []).append(part.hashes)
        for name, hashes in others.items():
            if len(own) and np.isin(own, np.concatenate(hashes)).all():
                return name or "an unnamed corpus"
        return None

    def to_state(self) -> dict[str, Any]:
        """Plain values, for JSON and for a checkpoint."""
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
        }

    @classmethod
    def from_state(cls, state: object, file: str | Path) -> Provenance:
        """What :meth:`to_state` gave.

        Raises:
            ManifestError: it is not of the schema `ProvenanceState`; names `file`.
        """
        content = validate(state, ProvenanceState, name=file, remedy=_REMEDY, at="provenance")
        return content.to_provenance()


class SeenState(Document):
    """A `SeenRows` as plain values: `ids` holds its `n` hashes in base64."""

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
        """The rows, with their hashes as an array."""
        hashes = np.frombuffer(_decode(self.ids), dtype="<u8").astype(np.uint64)
        return SeenRows(self.corpus, self.split, self.fold, self.use, hashes)


class ProvenanceState(Document):
    """The schema of what :meth:`Provenance.to_state` returns."""

    seen: list[SeenState]
    unknown: list[str]
    allowed: list[str]

    def to_provenance(self) -> Provenance:
        """The record, with hashes as arrays."""
        rows = tuple(part.to_rows() for part in self.seen)
        return Provenance(rows, tuple(self.unknown), tuple(self.allowed))


class BesideState(ProvenanceState):
    """The schema of a record beside a file, of whose content `sha256` is the digest."""

    sha256: str


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
    """The record of some rows of a data dir.

    Args:
        rows: of a manifest.
        corpus: the name of the data dir's corpus; None without corpus.yaml.
        split: which these are.
        fold: PROTOCOL/FOLD that `split` is a set of; None for a split on disk.
        use: `TRAINED` or `SELECTED`.
    """
    return Provenance(
        tuple(
            SeenRows(
                name,
                split,
                fold,
                use,
                np.unique(np.array([_hash(bare) for bare, _ in ids], dtype=np.uint64)),
            )
            for name, ids in _by_corpus(rows, corpus).items()
        )
    )


def _by_corpus(rows: Iterable[Utterance], corpus: str | None) -> dict[str, list[tuple[str, str]]]:
    """By corpus the ids of its rows: within the corpus, and as the manifest has them."""
    ids: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        ids.setdefault(row.corpus or corpus or UNNAMED, []).append((_bare_id(row), row.id))
    return ids


def _bare_id(row: Utterance) -> str:
    return row.id if row.corpus is None else row.id.removeprefix(f"{row.corpus}/")


def _hash(name: str) -> int:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:_HASH_BYTES], "little")


# -- beside a predictions file ---------------------------------------------------------------------


def provenance_path(file: Path) -> Path:
    """Return the path of the record of a file that cannot hold it itself.

    >>> provenance_path(Path("run/predictions.tsv")).name
    'predictions.tsv.provenance.json'
    """
    return file.with_name(file.name + ENDING)


def write_beside(file: Path, provenance: Provenance) -> None:
    """Write the record of a file that is there already; its digest ties the two together."""
    content = {"sha256": file_digest(file), **provenance.to_state()}
    with replacing(provenance_path(file)) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_beside(file: Path) -> Provenance | None:
    """The record of a file; None where there is none, or where it is of other content.

    Raises:
        ManifestError: there is one that cannot be read.
    """
    record = _read(provenance_path(file))
    if record is None or record[1] not in (file_digest(file), _digest_of_lines(file)):
        return None
    return record[0]


def _digest_of_lines(file: Path) -> str:
    """The digest of a text file as it was before an editor or a spreadsheet saved it.

    They write line ends of Windows, a byte order mark and empty cells or lines at the end, which
    readers of predictions let pass: the rows, and what they were made from, are the same.
    """
    content = file.read_bytes().removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    return hashlib.sha256(content.rstrip(b"\t\n") + b"\n").hexdigest()


def allowed_leaks(file: Path) -> tuple[str, ...]:
    """The leaks that ``--allow-leak`` let pass in making a file, a sentence each, for tables.

    They are returned even where the file was changed since, which takes no leak away.

    Raises:
        ManifestError: there is a record that cannot be read.
    """
    record = _read(provenance_path(file))
    return () if record is None else record[0].allowed


def _read(beside: Path) -> tuple[Provenance, str] | None:
    """A record, and the digest of the content that it is of; None where there is none."""
    if not beside.is_file():
        return None
    content = load_json(beside, BesideState, remedy=_REMEDY)
    return content.to_provenance(), content.sha256
