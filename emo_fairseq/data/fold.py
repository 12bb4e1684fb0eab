"""One fold of a data dir: its train, valid and test sets, and the files that they are read from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.files.digests import digest_once
from data_prep.folds.file import FOLDS_FOLDER, read_base, read_folds
from data_prep.manifest.digests import sequence_digest
from data_prep.manifest.table import ManifestTable, rows_of_ids
from data_prep.schema import SPLITS
from emo_fairseq.data import legacy
from emo_fairseq.errors import UsageError


def read_fold(folder: Path, fold: str) -> tuple[Sequence[str], Mapping[str, Sequence[str]]]:
    """Read the fold that ``--fold PROTOCOL/FOLD`` names.

    Returns:
        The names of the splits on disk that it divides, and the ids of each set.

    Raises:
        UsageError: no such file, or no such fold in it.
        data_prep.errors.ManifestError: the file does not fit the manifests; see :func:`read_folds`.
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
    content = read_folds(file)
    if number not in content.folds:
        names = ", ".join(content.folds)
        raise UsageError(f"--fold {fold}: {file} has the folds {names}", "fold-unknown")
    return content.bases, content.folds[number]


def read_fold_rows(folder: Path, fold: str) -> dict[str, ManifestTable]:
    """Return the rows of each set of a fold, in the order of the manifests.

    Raises:
        UsageError: no such file, or no such fold in it.
        data_prep.errors.ManifestError: the file does not fit the manifests, or a row breaks the
            data contract.
    """
    bases, sets = read_fold(folder, fold)
    rows = read_base(folder, bases)
    return {name: rows.take(rows_of_ids(rows, ids)) for name, ids in sets.items()}


def manifests_digest(folder: Path, splits: Sequence[str], fold: str | None) -> str | None:
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
