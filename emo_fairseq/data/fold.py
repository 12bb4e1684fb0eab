"""One fold of a data dir: which rows are its train, valid and test sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from data_prep.commands.folds import (
    FOLDS_FOLDER,
    read_folds,
)
from emo_fairseq.errors import UsageError

FOLD_SETS = ("train", "valid", "test")


def read_fold(folder: Path, fold: str) -> tuple[str, Mapping[str, Sequence[str]]]:
    """What ``--fold PROTOCOL/FOLD`` names: the split on disk, and the ids of each set.

    Raises:
        UsageError: no such file, or no such fold in it.
    """
    protocol, _, number = fold.partition("/")
    file = folder / FOLDS_FOLDER / f"{protocol}.json"
    if not file.exists():
        there = sorted(path.stem for path in (folder / FOLDS_FOLDER).glob("*.json"))
        raise UsageError(
            f"--fold {fold}: {file} is not there; choose one of {', '.join(there) or 'none'}, or "
            f"make it with `python -m data_prep.folds {folder}`"
        )
    try:
        found = read_folds(file)
        base = found.base
    except ValueError as error:
        raise UsageError(str(error)) from error
    if number not in found.folds:
        raise UsageError(f"--fold {fold}: {file} has the folds {', '.join(found.folds)}")
    return base, found.folds[number]
