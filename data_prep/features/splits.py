"""A feature folder from any source: split after split, and none that is up to date."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from data_prep.features.frame_files import FloatArray
from data_prep.features.pooling import pooled
from data_prep.features.stored import CARD_FILE, is_finished, write_split
from data_prep.files.lock import locked
from data_prep.schema import Utterance
from data_prep.tokens.binarize import read_splits

logger = logging.getLogger(__name__)


class Source(Protocol):
    """Where features come from; `settings` is all that they depend on besides the content."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def content(self, split: str, rows: Sequence[Utterance]) -> str: ...

    def frames(self, split: str, rows: Sequence[Utterance]) -> Iterator[FloatArray]: ...


def extract(
    data_dir: str | Path,
    name: str,
    source: Source,
    *,
    dtype: str,
    pool: str = "none",
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write the features of every split that is not up to date; returns their folder.

    Raises ValueError naming the file or row that cannot be encoded or stored.
    """
    folder = Path(data_dir) / "features" / name
    settings = {**source.settings, "dtype": dtype, **({} if pool == "none" else {"pool": pool})}
    splits = read_splits(data_dir)
    _refuse_foreign(folder, splits)
    with locked(folder / ".lock"):
        for split, rows in splits.items():
            content = source.content(split, rows)
            if is_finished(folder, split, rows, settings, content):
                logger.info("%s: %s is up to date, skipped", folder, split)
                continue
            frames = (pooled(found, pool) for found in source.frames(split, rows))
            shown = tqdm(frames, f"{name} {split}", len(rows), disable=None)
            write_split(folder, split, rows, shown, settings, content, about)
    return folder


def _refuse_foreign(folder: Path, splits: Mapping[str, object]) -> None:
    """Features that others made stay what they are."""
    theirs = [split for split in splits if (folder / f"{split}.npy").exists()]
    if theirs and not (folder / CARD_FILE).exists():
        raise ValueError(
            f"{folder / theirs[0]}.npy: was not made by this command, which would overwrite it; "
            "give another --name, or delete it"
        )
