"""A split of a data dir, in either layout, as utterances. Knows files and no torch.

The manifest layout is :mod:`data_prep.schema`'s; the seed's ``T_data`` layout is read by
:mod:`emo_fairseq.data.legacy`.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.schema import CORPUS_FILE, Corpus, Utterance, read_corpus, read_manifest
from emo_fairseq.data import legacy
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.types import (
    SPEECH,
    TEXT,
    Target,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """One split as it lies on disk.

    Attributes:
        name: ``train``, ``valid``, ``test``, ...
        file: the manifest that the rows came from, for messages.
        utterances: one record a row.
        tokens: for the seed's layout the token ids of each row, by modality; else empty.
        whole: the split on disk that this one is a part of, in a fold; None if it is whole.
        rows: (N,) row numbers in `whole`.
    """

    name: str
    file: Path
    utterances: Sequence[Utterance]
    tokens: dict[str, list[np.ndarray]] = field(default_factory=dict)
    whole: "Split | None" = None
    rows: np.ndarray | None = None

    @property
    def stored(self) -> "Split":
        """The split whose tokens and features are on disk."""
        return self.whole or self

    @property
    def stored_rows(self) -> np.ndarray:
        """(N,) which of the stored split's rows these are."""
        return np.arange(len(self.utterances)) if self.rows is None else self.rows

    def part(self, name: str, ids: Sequence[str]) -> "Split":
        """Some of the rows, under another name, in the order of the manifest.

        Raises:
            UsageError: an id that no row has.
        """
        row_of = {row.id: number for number, row in enumerate(self.utterances)}
        if unknown := [wanted for wanted in ids if wanted not in row_of]:
            raise UsageError(
                f"{self.file}: has no row {first_few(unknown)}, which the fold names; "
                "make the folds again with `python -m data_prep.folds`"
            )
        rows = np.sort([row_of[wanted] for wanted in ids])
        utterances = [self.utterances[row] for row in rows]
        return Split(name, self.file, utterances, whole=self, rows=rows)

    def present(self, modality: str) -> np.ndarray:
        """Which rows have this modality: (N,) bool."""
        if self.tokens:
            return np.full(len(self.utterances), modality in self.tokens)
        values = _PRESENCE[modality]
        return np.array([values(row) is not None for row in self.utterances], dtype=bool)


_PRESENCE: dict[str, Callable[[Utterance], object]] = {
    TEXT: lambda row: row.text,
    SPEECH: lambda row: row.audio,
}


def check_data_dir(data_dir: Path) -> None:
    """Raise a `UsageError` unless `data_dir` is a folder with splits of a known layout."""
    if not data_dir.is_dir():
        raise UsageError(f"--data {data_dir}: there is no such folder")
    if not any(data_dir.glob("*.tsv")):
        raise UsageError(
            f"--data {data_dir}: this is not a data dir, it holds no {{split}}.tsv; "
            "write one with one of the `python -m data_prep.<corpus>` commands"
        )


def read_corpus_file(data_dir: Path) -> Corpus | None:
    """What ``corpus.yaml`` says, or None where there is none (the seed's layout has none)."""
    return read_corpus(data_dir) if (data_dir / CORPUS_FILE).exists() else None


def read_split(data_dir: Path, data_raw: Path, split: str, modalities: Sequence[str]) -> Split:
    """Read one split.

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
    there = sorted(path.stem for path in data_dir.glob("*.tsv"))
    raise UsageError(f"{file}: there is no split {split!r}; the folder has {', '.join(there)}")


def select_rows(split: Split, target: Target, present: Mapping[str, np.ndarray]) -> np.ndarray:
    """The rows that can be used: those with a truth and at least one of the modalities.

    What is left out is counted in the log with the first few ids. Returns (M,) row numbers.

    Args:
        split: the rows.
        target: what the truth is.
        present: for each modality which rows have it, (N,) bool.
    """
    modalities = list(present)
    heard = np.any(list(present.values()), axis=0)
    labeled = np.array(
        [
            any(getattr(row, column) is not None for column in target.columns)
            for row in split.utterances
        ],
        dtype=bool,
    )
    report_rows(split, ~labeled, f"left out, no {' / '.join(target.columns)}")
    report_rows(split, labeled & ~heard, f"left out, neither of {', '.join(modalities)}")
    rows = np.flatnonzero(heard & labeled)
    if len(rows) == 0:
        raise UsageError(
            f"{split.file}: no row has both {' / '.join(target.columns)} and one of "
            f"{', '.join(modalities)}; choose another --target or --modality"
        )
    return rows


def report_rows(split: Split, chosen: np.ndarray, what: str) -> None:
    """Warn how many rows, (N,) bool, something happens to, and name the first few."""
    ids = [split.utterances[row].id for row in np.flatnonzero(chosen).tolist()]
    if ids:
        logger.warning("%s: %d rows %s: %s", split.file, len(ids), what, first_few(ids))


def truth_array(
    split: Split, target: Target, labels: Sequence[str], foreign: Collection[str] = ()
) -> np.ndarray:
    """The truth of every row: (N,) int64 label ids, -1 = missing, or (N, A) float64, NaN = missing.

    A label that is among `foreign` is missing truth, too; the log counts the rows.

    Raises:
        UsageError: a label that is not one of `labels`.
    """
    if not target.has_labels:
        return np.array(
            [
                [_number(getattr(row, column)) for column in target.columns]
                for row in split.utterances
            ],
            dtype=np.float64,  # fairseq halves float32 under --fp16, the truth included
        )
    (column,) = target.columns
    number = {label: position for position, label in enumerate(labels)}
    ids = np.full(len(split.utterances), -1, dtype=np.int64)
    is_foreign = np.array([getattr(row, column) in foreign for row in split.utterances], dtype=bool)
    what = f"have {column} {', '.join(foreign)}, which is not known here and taken as missing"
    report_rows(split, is_foreign, what)
    for position, row in enumerate(split.utterances):
        label = getattr(row, column)
        if label is None or is_foreign[position]:
            continue
        if label not in number:
            place = f"{split.file}: {_place(split, position)}{row.id}"
            raise UsageError(
                f"{place}: {column} {label!r} is not one of the labels "
                f"{', '.join(labels)}; correct the row, or the label set in {CORPUS_FILE}"
            )
        ids[position] = number[label]
    return ids


def _place(split: Split, position: int) -> str:
    """The row in the file, whose first is the header; rows of the seed's layout are joined ones."""
    return "" if split.tokens else f"row {position + 2}: "


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
