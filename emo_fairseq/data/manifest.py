"""A split of a data dir, in either layout, as utterances; and the sets of a fold as parts of it.

Reads files alone, without torch. The layout of manifests is in :mod:`data_prep.schema`; the legacy
``T_data`` layout is read by :mod:`emo_fairseq.data.legacy`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.manifest.table import ManifestTable, has, ids_of, rows_of_ids, select
from data_prep.messages import first_few
from data_prep.schema import CORPUS_FILE, Corpus, Utterance, read_corpus, read_manifest
from emo_fairseq.data import legacy
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """The rows of one split on disk, or of one set of a fold.

    Attributes:
        name: ``train``, ``valid``, ``test``, ...
        file: the manifest that the rows came from, for messages.
        utterances: the rows; those of a manifest are a `ManifestTable`, whose columns the functions
            of `data_prep.manifest.table` read at once.
        tokens: for the legacy layout the token ids of each row, by modality; else empty.
        whole: what the fold divides; None if this is no set of a fold.
        rows: (N,) row numbers in `whole`.
        parts: the splits on disk that this one joins, in their order; empty if it is on disk.
        warned: what :meth:`warn` has logged.
    """

    name: str
    file: Path
    utterances: Sequence[Utterance]
    tokens: dict[str, list[np.ndarray]] = field(default_factory=dict)
    whole: "Split | None" = None
    rows: np.ndarray | None = None
    parts: "Sequence[Split]" = ()
    warned: set[str] = field(default_factory=set, repr=False, compare=False)

    def warn(self, message: str) -> None:
        """Log a warning of the split, once: its datasets are built several times."""
        if message not in self.warned:
            self.warned.add(message)
            logger.warning("%s: %s", self.file, message)

    @property
    def stored(self) -> "Split":
        """Return the split, or the joined splits, whose tokens and features are on disk."""
        return self.whole or self

    @property
    def stored_parts(self) -> "Sequence[Split]":
        """Return the splits on disk whose rows, joined in this order, are those of `stored`."""
        return self.stored.parts or (self.stored,)

    @property
    def stored_rows(self) -> np.ndarray:
        """Return the row numbers (N,) of these rows in `stored`."""
        return np.arange(len(self.utterances)) if self.rows is None else self.rows

    def part(self, name: str, ids: Sequence[str]) -> "Split":
        """Return a set of a fold: some of the rows, in the order of the manifest.

        Raises:
            UsageError: no row has one of the ids.
        """
        rows = rows_of_ids(self.utterances, ids)
        if len(rows) < len(ids):
            known = {*ids_of(select(self.utterances, rows))}
            unknown = [name for name in ids if name not in known]
            raise UsageError(
                f"{self.file}: has no row {first_few(unknown)}, which the fold names; "
                "make the folds again with `python -m data_prep.folds`",
                "fold-outdated",
            )
        return Split(name, self.file, select(self.utterances, rows), whole=self, rows=rows)

    def present(self, modality: str) -> np.ndarray:
        """Return which rows have this modality: (N,) bool."""
        if self.tokens:
            return np.full(len(self.utterances), modality in self.tokens)
        return has(self.utterances, _COLUMN[modality])


_COLUMN = {TEXT: "text", SPEECH: "audio", VIDEO: "video"}


def check_data_dir(data_dir: Path) -> None:
    """Raise a `UsageError` unless `data_dir` is a folder with splits of a known layout."""
    if not data_dir.is_dir():
        raise UsageError(f"--data {data_dir}: there is no such folder", "data-dir-missing")
    if not any(data_dir.glob("*.tsv")):
        raise UsageError(
            f"--data {data_dir}: this is not a data dir, it holds no {{split}}.tsv; "
            "write one with one of the `python -m data_prep.<corpus>` commands",
            "data-dir-empty",
        )


def read_corpus_file(data_dir: Path) -> Corpus | None:
    """Read ``corpus.yaml``; None where there is none, as in the legacy layout."""
    return read_corpus(data_dir) if (data_dir / CORPUS_FILE).exists() else None


def read_split(data_dir: Path, data_raw: Path, split: str, modalities: Sequence[str]) -> Split:
    """Read one split on disk.

    Args:
        data_dir: of either layout.
        data_raw: holds the token files of the legacy layout.
        split: its name.
        modalities: those that are read, for the legacy layout.

    Raises:
        UsageError: there is no such split.
        data_prep.errors.ManifestError: a row that breaks the data contract.
    """
    file = data_dir / f"{split}.tsv"
    if file.exists():
        return Split(split, file, read_manifest(file))
    if split in legacy.split_names(data_dir):
        utterances, tokens = legacy.read_split(data_dir, data_raw, split, modalities)
        return Split(split, legacy.label_file(data_dir, split), utterances, tokens)
    known = sorted(path.stem for path in data_dir.glob("*.tsv"))
    raise UsageError(
        f"{file}: there is no split {split!r}; the folder has {', '.join(known)}", "split-missing"
    )


def join_splits(splits: Sequence[Split]) -> Split:
    """Return the rows of several splits on disk as one; of a single split itself."""
    if len(splits) == 1:
        return splits[0]
    names = [split.name for split in splits]
    file = splits[0].file.with_name(f"{{{','.join(names)}}}.tsv")
    rows = ManifestTable.joined([split.utterances for split in splits])
    return Split("+".join(names), file, rows, parts=tuple(splits))


def report_rows(split: Split, chosen: np.ndarray, message: str) -> None:
    """Log a warning with the number of the chosen rows, (N,) bool, and the first few ids."""
    rows = np.flatnonzero(chosen)
    if len(rows):
        ids = ids_of(select(split.utterances, rows))
        split.warn(f"{len(ids)} rows {message}: {first_few(ids)}")
