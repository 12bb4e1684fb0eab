"""A split of a data dir, in either layout or as a set of a fold, as utterances.

Reads files alone, without torch. The layout of manifests is in :mod:`data_prep.schema`; the legacy
``T_data`` layout is read by :mod:`emo_fairseq.data.legacy`.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.files.digests import digest_once
from data_prep.folds.file import FOLDS_FOLDER, read_base, read_folds
from data_prep.manifest.digests import sequence_digest
from data_prep.manifest.table import ManifestTable, has, ids_of, rows_of_ids, select
from data_prep.messages import first_few
from data_prep.schema import CORPUS_FILE, SPLITS, Corpus, Utterance, read_corpus, read_manifest
from emo_fairseq.data import legacy
from emo_fairseq.data.votes import vote_shares
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO
from emo_fairseq.targets import Target, TargetKind

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
    """

    name: str
    file: Path
    utterances: Sequence[Utterance]
    tokens: dict[str, list[np.ndarray]] = field(default_factory=dict)
    whole: "Split | None" = None
    rows: np.ndarray | None = None
    parts: "Sequence[Split]" = ()

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

        Args:
            name: of the set.
            ids: of its rows.

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


def select_rows(
    split: Split,
    target: Target,
    present: Mapping[str, np.ndarray],
    labels: Sequence[str] = (),
) -> np.ndarray:
    """Return the usable rows: those with a truth and at least one of the modalities.

    What is left out is counted in the log with the first few ids.

    Args:
        split: N rows.
        target: what is predicted.
        present: for each modality which rows have it, (N,) bool.
        labels: of a distribution; a row has a truth if it has a vote for one of them.

    Returns:
        (M,) row numbers.

    Raises:
        UsageError: there is none.
    """
    has_input, labeled = find_usable(split, target, present, labels)
    report_rows(split, ~labeled, f"left out, no {' / '.join(target.columns)}")
    report_rows(split, labeled & ~has_input, f"left out, neither of {', '.join(present)}")
    rows = np.flatnonzero(has_input & labeled)
    if len(rows) == 0:
        raise no_usable_row(split, target, present)
    return rows


def find_usable(
    split: Split,
    target: Target,
    present: Mapping[str, np.ndarray],
    labels: Sequence[str] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a modality, and which a truth: (N,) bool each.

    Args:
        split: N rows.
        target: what is predicted.
        present: for each modality which rows have it, (N,) bool.
        labels: of a distribution; a row has a truth if it has a vote for one of them.
    """
    columns = [has(split.utterances, column) for column in target.columns]
    labeled = np.full(len(split.utterances), target.is_none) | np.any(columns, axis=0)
    has_input = np.any(list(present.values()), axis=0)
    if target.kind is TargetKind.DISTRIBUTION:
        labeled &= _have_votes(split, labels, labeled)
        agreed = has(split.utterances, "emotion")
        usable = labeled & has_input
        logger.info(
            "%s: %d rows with votes, %d of them without a majority label",
            split.file,
            usable.sum(),
            (usable & ~agreed).sum(),
        )
    return has_input, labeled


def _have_votes(split: Split, labels: Sequence[str], voted: np.ndarray) -> np.ndarray:
    """Return which rows have a vote for one of the labels, and report the others with votes."""
    shares = vote_shares(split.utterances, labels)
    outside = voted & np.isnan(shares).any(axis=1)
    report_rows(split, outside, f"have no vote for any of {', '.join(labels)}")
    return ~outside


def no_usable_row(split: Split, target: Target, modalities: Iterable[str]) -> UsageError:
    """Return the error of a split without any row that has truth and input."""
    truth = "" if target.is_none else f"both {' / '.join(target.columns)} and "
    return UsageError(
        f"{split.file}: no row has {truth}one of "
        f"{', '.join(modalities)}; choose another --target or --modality",
        "rows-unusable",
    )


def report_rows(split: Split, chosen: np.ndarray, message: str) -> None:
    """Log a warning with the number of the chosen rows, (N,) bool, and the first few ids."""
    rows = np.flatnonzero(chosen)
    if len(rows):
        ids = ids_of(select(split.utterances, rows))
        logger.warning("%s: %d rows %s: %s", split.file, len(ids), message, first_few(ids))


# -- One fold of a data dir: which rows are its train, valid and test sets -------------------------


def read_fold(folder: Path, fold: str) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
    """Read the fold that ``--fold PROTOCOL/FOLD`` names.

    Returns:
        The names of the splits on disk that it divides, and the ids of each set.

    Raises:
        UsageError: no such file, or no such fold in it.
    """
    protocol, _, number = fold.partition("/")
    file = folder / FOLDS_FOLDER / f"{protocol}.json"
    if not file.exists():
        known = sorted(path.stem for path in (folder / FOLDS_FOLDER).glob("*.json"))
        others = f"choose one of {', '.join(known)}, or " if known else ""
        raise UsageError(
            f"--fold {fold}: {file} is not there; {others}make it with "
            f"`python -m data_prep.folds {folder} --protocol {protocol}`",
            "folds-missing",
        )
    try:
        content = read_folds(file)
    except ValueError as error:
        raise UsageError.of(error, "folds-invalid") from error
    if number not in content.folds:
        names = ", ".join(content.folds)
        raise UsageError(f"--fold {fold}: {file} has the folds {names}", "fold-unknown")
    return content.bases, content.folds[number]


def read_fold_rows(folder: Path, fold: str) -> dict[str, ManifestTable]:
    """Return the rows of each set of a fold, in the order of the manifests.

    Raises:
        UsageError: no such file, or no such fold in it.
        data_prep.errors.ManifestError: a row that breaks the data contract.
    """
    bases, sets = read_fold(folder, fold)
    rows = read_base(folder, bases)
    return {name: rows.take(rows_of_ids(rows, ids)) for name, ids in sets.items()}


def manifests_digest(folder: Path, splits: Sequence[str], fold: str | None = None) -> str | None:
    """Return a digest of the files that splits of a data dir are read from.

    Args:
        folder: of either layout.
        splits: their names.
        fold: PROTOCOL/FOLD of which they are sets; None: they are on disk.

    Returns:
        None where one of the files is gone, or cannot be read.
    """
    files: list[Path] = []
    for split in splits:
        if fold is not None and split in SPLITS:
            bases, _ = read_fold(folder, fold)
            files += [folder / FOLDS_FOLDER / f"{fold.partition('/')[0]}.json"]
            files += [folder / f"{base}.tsv" for base in bases]
        elif (labels := legacy.label_file(folder, split)).is_file():
            files.append(labels)
        else:
            files.append(folder / f"{split}.tsv")
    try:
        return sequence_digest((file.name, digest_once(file)) for file in dict.fromkeys(files))
    except ValueError:
        return None
