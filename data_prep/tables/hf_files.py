"""The shards that `datasets` exports, by split."""

from __future__ import annotations

import re
from pathlib import Path

SPLIT_OF = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "valid"),
    "test": "test",
}
_SHARD = re.compile(r"([a-z]+)(?:-(\d{5})-of-(\d{5}))?\.(?:parquet|csv|tsv|jsonl)")


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """{split: files} of a folder, or of its `data/`, as `datasets` names them.

    `train-00000-of-00002.parquet`, `validation.csv` ... Raises ValueError where there are none, a
    shard is missing, or a split is there twice.
    """
    found: dict[tuple[str, str], dict[int, Path]] = {}
    wanted: dict[tuple[str, str], int] = {}
    for path in sorted([*folder.glob("*"), *(folder / "data").glob("*")]):
        match = _SHARD.fullmatch(path.name)
        if not match or match[1] not in SPLIT_OF:
            continue
        key = (match[1], path.suffix)
        found.setdefault(key, {})[int(match[2] or 0)] = path
        wanted[key] = int(match[3] or 1)
    if not found:
        raise ValueError(
            f"{folder}: no train-00000-of-00001.parquet, train.csv or the like; name its files"
        )
    shards: dict[str, list[Path]] = {}
    for (name, suffix), files in found.items():
        if sorted(files) != list(range(wanted[name, suffix])):
            raise ValueError(f"{folder}: {name} has {len(files)} of {wanted[name, suffix]} shards")
        if SPLIT_OF[name] in shards:
            raise ValueError(f"{folder}: {SPLIT_OF[name]} is there twice; name the files to read")
        shards[SPLIT_OF[name]] = [files[i] for i in sorted(files)]
    return {split: shards[split] for split in dict.fromkeys(SPLIT_OF.values()) if split in shards}
