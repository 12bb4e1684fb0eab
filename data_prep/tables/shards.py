"""Files of a table that is divided into splits and shards, as `datasets` names them."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.messages import first_few
from data_prep.tables.column_contents import split_of
from data_prep.tables.reader import TABLES

logger = logging.getLogger(__name__)

SPLIT_OF = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "valid"),
    "test": "test",
}
# Older versions of the hub put a digest at the end.
_SHARD = re.compile(
    r"([a-z]+)(?:-(\d{5})-of-(\d{5})(?:-[0-9a-f]{16})?)?\.(?:parquet|csv|tsv|jsonl)"
)


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Find {split: files} of a folder, or of its `data/`, as `datasets` names them.

    Such as `train-00000-of-00002.parquet` and `validation.csv`. Further tables are logged.

    Raises:
        CodedError: there are none, a shard is missing, a split is found twice, or a further table
            is named after a split.
    """
    shards_of: dict[tuple[str, str], dict[int, Path]] = {}
    wanted: dict[tuple[str, str], set[int]] = {}
    further: list[Path] = []
    for path in sorted([*folder.glob("*"), *(folder / "data").glob("*")]):
        match = _SHARD.fullmatch(path.name)
        if not match or match[1] not in SPLIT_OF:
            is_hidden = path.name.startswith(".")
            further += [path] * (path.suffix.lower() in TABLES and not is_hidden and path.is_file())
            continue
        key, number = (match[1], path.suffix), int(match[2] or 0)
        if (other := shards_of.setdefault(key, {}).setdefault(number, path)) != path:
            message = f"{folder}: {other.relative_to(folder)} and {path.relative_to(folder)} are "
            message += "each that part of a split; remove one of them, or name the file to read"
            raise CodedError(message, "splits-ambiguous")
        wanted.setdefault(key, set()).add(int(match[3] or 1))
    if not shards_of:
        raise CodedError(
            f"{folder}: no train-00000-of-00001.parquet, train.csv or the like; name its files",
            "table-missing",
        )
    shards: dict[str, list[Path]] = {}
    for (name, suffix), files in shards_of.items():
        n_shards = max(wanted[name, suffix])
        if len(wanted[name, suffix]) > 1 or sorted(files) != list(range(n_shards)):
            message = f"{folder}: {name} has {len(files)} of {n_shards} shards"
            raise CodedError(f"{message}; fetch them again, or name the files", "shards-missing")
        if SPLIT_OF[name] in shards:
            message = f"{folder}: {SPLIT_OF[name]} is found twice; name the files to read"
            raise CodedError(message, "splits-ambiguous")
        shards[SPLIT_OF[name]] = [files[i] for i in sorted(files)]
    _check_further(folder, further)
    return {split: shards[split] for split in dict.fromkeys(SPLIT_OF.values()) if split in shards}


def _check_further(folder: Path, tables: Sequence[Path]) -> None:
    """Refuse tables that may be a part of a split, such as train_2.csv, and log the others."""
    for path in tables:
        if any(map(split_of, re.findall(r"[^\W\d_]+", path.stem))):
            raise CodedError(
                f"{folder}: {path.relative_to(folder)} is named after a split, and is no shard of "
                "one as train-00000-of-00002.csv is; join, rename or move it, or name the files to "
                "read",
                "splits-ambiguous",
            )
    if tables:
        names = first_few([str(path.relative_to(folder)) for path in tables])
        logger.warning("%s: further tables, not read: %s", folder, names)
