"""SHA-256 of many files, remembered by size and times, so that a file is read once."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep.audio.length import default_workers
from data_prep.files.replacing import replacing
from data_prep.tokens.folder import file_digest

# A file changed twice within the clock's tick looks unchanged: what is younger is not remembered.
_SETTLED_SECONDS = 2.0


def file_digests(files: Sequence[Path | None], memory: Path) -> list[str | None]:
    """The digest of every file, None for None; `memory` is the file that remembers them.

    Raises ValueError naming a file that cannot be read.
    """
    known = _recall(memory)
    names = [None if file is None else str(file.absolute()) for file in files]
    stamps = {name: _stamp(name) for name in names if name is not None}
    found = {
        name: known[name]
        for name, stamp in stamps.items()
        if name in known and known[name][:-1] == stamp
    }
    unknown = [name for name in stamps if name not in found]
    if unknown:
        with ThreadPoolExecutor(default_workers()) as pool:
            digests = tqdm(
                pool.map(file_digest, unknown), "digests of files", len(unknown), disable=None
            )
            new = {
                name: [*stamps[name], digest] for name, digest in zip(unknown, digests, strict=True)
            }
        _remember(memory, known, new)
        found |= new
    return [None if name is None else found[name][-1] for name in names]


def _stamp(file: str) -> list[int]:
    try:
        status = Path(file).stat()
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _recall(memory: Path) -> dict[str, list[Any]]:
    try:
        known: dict[str, list[Any]] = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known


def _remember(memory: Path, known: dict[str, list[Any]], new: dict[str, list[Any]]) -> None:
    settled = time.time_ns() - int(_SETTLED_SECONDS * 1e9)
    kept = {file: entry for file, entry in new.items() if max(entry[1:3]) < settled}
    if not kept:
        return
    memory.parent.mkdir(parents=True, exist_ok=True)
    with replacing(memory) as part:
        part.write_text(json.dumps({**known, **kept}), encoding="utf-8")
