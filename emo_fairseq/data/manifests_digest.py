"""A digest of the files that splits are read from, by which results are known to be current."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.files.digests import digest_once
from data_prep.folds.file import FOLDS_FOLDER
from data_prep.manifest.digests import sequence_digest
from data_prep.schema import SPLITS
from emo_fairseq.data import legacy
from emo_fairseq.data.fold import read_fold


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
