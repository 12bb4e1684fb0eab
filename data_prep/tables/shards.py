"""Files of a table that is divided into splits and shards, as `datasets` names them."""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.errors import CodedError

SPLIT_OF = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "valid"),
    "test": "test",
}
_SHARD = re.compile(r"([a-z]+)(?:-(\d{5})-of-(\d{5}))?\.(?:parquet|csv|tsv|jsonl)")


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Find {split: files} of a folder, or of its `data/`, as `datasets` names them.

    Such as `train-00000-of-00002.parquet` and `validation.csv`. Raises CodedError if there are
    none, a shard is missing, or a split is found twice.
    """
    shards_of: dict[tuple[str, str], dict[int, Path]] = {}
    wanted: dict[tuple[str, str], int] = {}
    for path in sorted([*folder.glob("*"), *(folder / "data").glob("*")]):
        match = _SHARD.fullmatch(path.name)
        if not match or match[1] not in SPLIT_OF:
            continue
        key, number = (match[1], path.suffix), int(match[2] or 0)
        if (other := shards_of.setdefault(key, {}).setdefault(number, path)) != path:
            message = f"{folder}: {other.relative_to(folder)} and {path.relative_to(folder)} are "
            message += "each that part of a split; remove one of them, or name the file to read"
            raise CodedError(message, "splits-ambiguous")
        wanted[key] = int(match[3] or 1)
    if not shards_of:
        raise CodedError(
            f"{folder}: no train-00000-of-00001.parquet, train.csv or the like; name its files",
            "table-missing",
        )
    shards: dict[str, list[Path]] = {}
    for (name, suffix), files in shards_of.items():
        if sorted(files) != list(range(wanted[name, suffix])):
            message = f"{folder}: {name} has {len(files)} of {wanted[name, suffix]} shards"
            raise CodedError(message, "shards-missing")
        if SPLIT_OF[name] in shards:
            message = f"{folder}: {SPLIT_OF[name]} is found twice; name the files to read"
            raise CodedError(message, "splits-ambiguous")
        shards[SPLIT_OF[name]] = [files[i] for i in sorted(files)]
    return {split: shards[split] for split in dict.fromkeys(SPLIT_OF.values()) if split in shards}
