"""SHA-256 of files, remembered by size, times and inode, so that each version is read once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from tqdm import tqdm

from data_prep.errors import (
    CodedError,
    Fault,
    ManifestError,
)
from data_prep.files.documents import (
    Count,
    Document,
    load_json,
)
from data_prep.files.replacing import replacing

# A file changed twice within the clock's tick looks unchanged: what is younger is not remembered.
_SETTLED_SECONDS = 2.0
_MEMORY = "digests.json"
_LARGE = 1 << 30  # bytes from which on a progress bar is shown
_MAX_BYTES = 2**28  # of a memory: two million files
_MOST_REMEMBERED = 10_000  # in the user's own memory, which is read whole each time

Compute = Callable[[Path], str]
# The user's own memory as this process has read or written it last, by path, with its stamp:
# a command opens many files, one by one, and reads the memory once.
_recalled: dict[Path, tuple[list[int], dict[str, list[Any]]]] = {}
# Of a file: size, times, inode and digest.
_Entry = Annotated[list[int | str], Field(min_length=5, max_length=5)]


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes. Raises ValueError when it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CodedError(
            f"{path}: cannot be read ({error.strerror}); check the path", "file-unreadable"
        ) from error


def file_digests(files: Sequence[Path | None], memory: Path) -> list[str | None]:
    """Return the digest of every file, None for None.

    Args:
        files: in any number; those that were not read before are read in parallel.
        memory: the file that remembers the digests.

    Raises:
        ValueError: a file cannot be read.
    """
    given = list(dict.fromkeys(file for file in files if file is not None))
    digests = _remembered(given, file_digest, memory, "")
    return [None if file is None else digests[file] for file in files]


def digest_once(file: Path) -> str:
    """Return the SHA-256 of a file, which is read once a version: the user's memory keeps it.

    Raises:
        ValueError: the file cannot be read.
    """
    return compute_once(file, file_digest, "")


def compute_once(file: Path, compute: Compute, kind: str) -> str:
    """Return what `compute` returns of a file, called once a version of the file.

    Args:
        file: what is read.
        compute: returns a string that depends on the file's bytes alone; what it raises is raised.
        kind: distinguishes what is computed from other values that are stored of the same file.

    Raises:
        ValueError: the file cannot be read.
    """
    return _remembered([file], compute, user_memory(), kind, _MOST_REMEMBERED)[file]


def user_memory() -> Path:
    """Return the file in which digests are remembered, in the user's own cache folder.

    Data dirs and model folders may be read-only, and are read by several users. The environment
    variable EMO_FAIRSEQ_CACHE names another folder.
    """
    if own := os.environ.get("EMO_FAIRSEQ_CACHE"):
        return Path(own) / _MEMORY
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as in containers: nothing is remembered
        cache = Path(os.devnull)
    return cache / "emo_fairseq" / _MEMORY


def _remembered(
    files: Sequence[Path], compute: Compute, memory: Path, kind: str, most: int | None = None
) -> dict[Path, str]:
    known = _recall(memory) if most is None else _recall_once(memory)
    names = {file: f"{kind}{file.absolute()}" for file in files}
    stamps = {file: _stamp(file) for file in files}
    found = {
        file: str(known[name][-1])
        for file, name in names.items()
        if name in known and known[name][:-1] == stamps[file]
    }
    left = [file for file in files if file not in found]
    if left:
        new = dict(zip(left, _compute_all(left, stamps, compute), strict=True))
        entries = {names[file]: [*stamps[file], value] for file, value in new.items()}
        _remember(memory, known, entries, most)
        found |= new
    return found


def _compute_all(
    files: Sequence[Path], stamps: dict[Path, list[int]], compute: Compute
) -> Iterator[str]:
    n_bytes = sum(stamps[file][0] for file in files)
    shown: Callable[[Iterable[str]], Iterable[str]] = lambda values: tqdm(  # noqa: E731
        values, "digests of files", len(files), disable=True if n_bytes < _LARGE else None
    )
    if len(files) == 1:
        yield from shown(map(compute, files))
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from shown(pool.map(compute, files))


def _stamp(file: Path) -> list[int]:
    try:
        status = file.stat()
    except OSError as error:
        raise CodedError(
            f"{file}: cannot be read ({error.strerror}); check the path", "file-unreadable"
        ) from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _recall_once(memory: Path) -> dict[str, list[Any]]:
    """Return what is remembered, read again only when another process has written it."""
    try:
        stamp = _stamp(memory)
    except ValueError:
        return {}
    if memory not in _recalled or _recalled[memory][0] != stamp:
        _recalled[memory] = stamp, _recall(memory)
    return _recalled[memory][1]


def _recall(memory: Path) -> dict[str, list[Any]]:
    """What is remembered; nothing of a file that is broken or of another form."""
    try:
        entries = load_json(memory, dict[str, _Entry], remedy="", max_bytes=_MAX_BYTES)
    except ManifestError:
        return {}
    return {name: [*entry] for name, entry in entries.items()}


def _remember(
    memory: Path, known: dict[str, list[Any]], new: dict[str, list[Any]], most: int | None
) -> None:
    """Write the memory again; where that cannot be written, the files are read again next time."""
    settled = time.time_ns() - int(_SETTLED_SECONDS * 1e9)
    kept = {name: entry for name, entry in new.items() if max(entry[1:3]) < settled}
    if not kept:
        return
    entries = {**{name: entry for name, entry in known.items() if name not in kept}, **kept}
    if most is not None:
        entries = dict(list(entries.items())[-most:])
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with replacing(memory) as part:
            part.write_text(json.dumps(entries), encoding="utf-8")
    except OSError:
        return


# -- One integrity check of binary files: what was written is what is read, or it is refused -------
# Whatever writes a binary file keeps a record of it in the document beside it (`features.yaml`,
# `tokenizer.yaml`, `config.json`, ...), written after the file: its size and SHA-256, which are
# compared when the file is opened. A record is plain values:
#
#     train.npy: {size: 10368, sha256: 9f86d081884c...}

logger = logging.getLogger(__name__)

Record = dict[str, Any]
Records = dict[str, Record]  # by the file's name, relative to the folder of the document

_SIZE, _DIGEST = "size", "sha256"


class FileRecord(Document):
    """The schema of a record."""

    size: Count
    sha256: str


_warned: set[Path] = set()


def record_of(file: Path) -> Record:
    """Return the record of a file that is complete. Raises ManifestError if it cannot be read."""
    return {_SIZE: _size(file, "write it again"), _DIGEST: digest_once(file)}


def records_of(folder: Path, names: Iterable[str]) -> Records:
    """Return the records of files in a folder, by name."""
    return {name: record_of(folder / name) for name in names}


def verify(file: Path, record: Mapping[str, Any], remedy: str) -> None:
    """Hold a file to its record.

    Args:
        file: what is about to be opened.
        record: of :func:`record_of`.
        remedy: how the file is made again, such as "copy it again".

    Raises:
        ManifestError: it is gone, of another size, or has other bytes.
    """
    size = _size(file, remedy)
    expected = record.get(_SIZE)
    if expected is not None and size != expected:
        raise _damaged(file, f"{size} bytes where {expected} were written", remedy)
    digest = digest_once(file)
    if digest != record.get(_DIGEST):
        what = f"SHA-256 {digest[:12]}... where {str(record.get(_DIGEST))[:12]}... was written"
        raise _damaged(file, what, remedy)


def verify_all(folder: Path, records: Mapping[str, Mapping[str, Any]], remedy: str) -> None:
    """Hold every file of a folder that has a record to it; see :func:`verify`."""
    for name, record in records.items():
        verify(folder / name, record, remedy)


def warn_unverified(file: Path, remedy: str) -> None:
    """Warn, once a process, that a file cannot be verified.

    Args:
        file: that has no record: an older version wrote it.
        remedy: what adds one.
    """
    if file not in _warned:
        _warned.add(file)
        logger.warning("%s: has no record of its size and SHA-256, not verified; %s", file, remedy)


def is_whole(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every file of a folder is as its record has it; warns of the first that is not."""
    try:
        verify_all(folder, records, "it is written again")
    except ValueError as error:
        logger.warning("%s", error)
        return False
    return True


def _size(file: Path, remedy: str) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        what = f"cannot be read ({error.strerror})"
        raise ManifestError(Fault(str(file), None, what, remedy, "file-unreadable")) from error


def _damaged(file: Path, what: str, remedy: str) -> ManifestError:
    return ManifestError(
        Fault(str(file), None, f"damaged or exchanged: {what}", remedy, "file-damaged")
    )
