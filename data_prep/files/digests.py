"""SHA-256 of files, cached by size, times and inode, so that each version is read once."""

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
from data_prep.files.remote import as_path
from data_prep.files.replacing import replacing
from data_prep.progress import track

# A file that changes twice within the clock's resolution looks unchanged: do not cache newer ones.
_MIN_AGE_SECONDS = 2.0
# Of a file system that stores fractions of seconds, which takes the time of the kernel's last tick.
_TICK_SECONDS = 0.02
_MEMORY = "digests.json"
_LARGE = 1 << 30  # bytes from which on a progress bar is shown
_MAX_BYTES = 2**28  # of a cache file: two million files
_MAX_ENTRIES = 10_000  # of the user's cache, which is read completely each time

Compute = Callable[[Path], str]
# The user's cache as last read by this process, by path, with its stamp: a command that opens many
# files one by one reads it once.
_recalled: dict[Path, tuple[list[int], dict[str, list[Any]]]] = {}
# Size, times, inode and digest of a file.
_Entry = Annotated[list[int | str], Field(min_length=5, max_length=5)]


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file.

    Raises:
        ValueError: the file cannot be read.
    """
    try:
        with as_path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CodedError(
            f"{path}: cannot be read ({error.strerror}); check the path", "file-unreadable"
        ) from error


def file_digests(files: Sequence[Path | None], memory: Path) -> list[str | None]:
    """Return the digest of every file, None for None.

    Raises:
        ValueError: a file cannot be read.
    """
    given = list(dict.fromkeys(file for file in files if file is not None))
    digests = _remembered(given, file_digest, memory, "")
    return [None if file is None else digests[file] for file in files]


def digest_once(file: Path) -> str:
    """Return the SHA-256 of a file, using the user's cache.

    Raises:
        ValueError: the file cannot be read.
    """
    return compute_once(file, file_digest, "")


def compute_once(file: Path, compute: Compute, kind: str) -> str:
    """Return the result of `compute` for a file, kept in the user's cache under `kind`.

    It may depend on nothing but the content of the file.

    Raises:
        ValueError: the file cannot be read.
    """
    return _remembered([file], compute, user_memory(), kind, _MAX_ENTRIES)[file]


def user_memory() -> Path:
    """Return the file of the user's cache of digests.

    It is in the user's cache folder, or in that of the environment variable EMO_FAIRSEQ_CACHE:
    data dirs and model folders may be read-only and shared by several users.
    """
    if own := os.environ.get("EMO_FAIRSEQ_CACHE"):
        return Path(own) / _MEMORY
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # no home folder, as in containers: nothing is cached
        cache = Path(os.devnull)
    return cache / "emo_fairseq" / _MEMORY


def _remembered(
    files: Sequence[Path], compute: Compute, memory: Path, kind: str, most: int | None = None
) -> dict[Path, str]:
    known = _recall(memory) if most is None else _recall_once(memory)
    names = {file: f"{kind}{file.absolute()}" for file in files}
    stamps = {file: stamp(file) for file in files}
    values = {
        file: str(known[name][-1])
        for file, name in names.items()
        if name in known and known[name][:-1] == stamps[file]
    }
    left = [file for file in files if file not in values]
    if left:
        new = dict(zip(left, _compute_all(left, stamps, compute), strict=True))
        entries = {names[file]: [*stamps[file], value] for file, value in new.items()}
        _remember(memory, known, entries, most)
        values |= new
    return values


def _compute_all(
    files: Sequence[Path], stamps: dict[Path, list[int]], compute: Compute
) -> Iterator[str]:
    n_bytes = sum(stamps[file][0] for file in files)
    shown: Callable[[Iterable[str]], Iterable[str]] = lambda values: track(  # noqa: E731
        values, "digests of files", len(files), "file", hidden=n_bytes < _LARGE
    )
    if len(files) == 1:
        yield from shown(map(compute, files))
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield from shown(pool.map(compute, files))


def stamp(file: Path) -> list[int]:
    """Return size, times and inode of a file, of which another version of it has others.

    Raises:
        CodedError: it cannot be read.
    """
    try:
        status = file.stat()
    except OSError as error:
        raise CodedError(
            f"{file}: cannot be read ({error.strerror}); check the path", "file-unreadable"
        ) from error
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _recall_once(memory: Path) -> dict[str, list[Any]]:
    """Return the entries of the cache, which is read again if another process has written it."""
    try:
        current = stamp(memory)
    except ValueError:
        return {}
    if memory not in _recalled or _recalled[memory][0] != current:
        _recalled[memory] = current, _recall(memory)
    return _recalled[memory][1]


def _recall(memory: Path) -> dict[str, list[Any]]:
    """Return the entries of a cache; none if the file is invalid."""
    try:
        entries = load_json(memory, dict[str, _Entry], remedy="", max_bytes=_MAX_BYTES)
    except ManifestError:
        return {}
    return {name: [*entry] for name, entry in entries.items()}


def remember_written(folder: Path, records: Records) -> None:
    """Keep the digests of files that this process has written and digested in the user's cache.

    Other new files are read again next time, since a clock of whole seconds may not show that they
    have changed since. Of these it is certain, where the file system stores fractions of seconds.

    Args:
        folder: of the files, where they stay.
        records: of :func:`records_of`; they may have been made in another folder.
    """
    entries = {}
    for name, record in records.items():
        file = folder / name
        written = stamp(file)
        newest = max(written[1:3])
        time.sleep(max(0.0, min(_TICK_SECONDS, newest / 1e9 + _TICK_SECONDS - time.time())))
        if newest % 1_000_000_000 and written == stamp(file) and written[0] == record[_SIZE]:
            entries[str(file.absolute())] = [*written, record[_DIGEST]]
    memory = user_memory()
    _remember(memory, _recall_once(memory), entries, _MAX_ENTRIES, min_age=0.0)


def _remember(
    memory: Path,
    known: dict[str, list[Any]],
    new: dict[str, list[Any]],
    most: int | None,
    min_age: float | None = None,
) -> None:
    """Update the cache; if it cannot be written, the files are read again next time."""
    min_age = _MIN_AGE_SECONDS if min_age is None else min_age
    newest = time.time_ns() - int(min_age * 1e9)
    kept = {name: entry for name, entry in new.items() if max(entry[1:3]) < newest}
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


# -- Integrity of binary files ---------------------------------------------------------------------
# The size and SHA-256 of a binary file are recorded in the document next to it (`features.yaml`,
# `tokenizer.yaml`, `config.json`, ...), written after the file, and compared when it is opened. A
# record is plain values:
#
#     train.npy: {size: 10368, sha256: 9f86d081884c...}

logger = logging.getLogger(__name__)

Record = dict[str, Any]
Records = dict[str, Record]  # by the file's name, relative to the folder of the document

_SIZE, _DIGEST = "size", "sha256"


class FileRecord(Document):
    """Schema of a record."""

    size: Count
    sha256: str


_warned: set[Path] = set()


def record_of(file: Path) -> Record:
    """Return the record of a complete file. Raises ManifestError if it cannot be read."""
    return {_SIZE: _size(file, "write it again"), _DIGEST: digest_once(file)}


def records_of(folder: Path, names: Iterable[str]) -> Records:
    """Return the records of files in a folder, by name."""
    return {name: record_of(folder / name) for name in names}


def verify(file: Path, record: Mapping[str, Any], remedy: str) -> None:
    """Compare a file with its record of :func:`record_of`; `remedy` ends the message.

    Raises:
        ManifestError: the file is missing, or its size or content differs.
    """
    size = _size(file, remedy)
    expected = record.get(_SIZE)
    if expected is not None and size != expected:
        raise _damaged(file, f"{size} bytes where {expected} were written", remedy)
    digest = digest_once(file)
    if digest != record.get(_DIGEST):
        expected = str(record.get(_DIGEST))
        problem = f"SHA-256 {digest[:12]}... where {expected[:12]}... was written"
        raise _damaged(file, problem, remedy)


def verify_all(folder: Path, records: Mapping[str, Mapping[str, Any]], remedy: str) -> None:
    """Compare every file of a folder that has a record with it; see :func:`verify`."""
    for name, record in records.items():
        verify(folder / name, record, remedy)


def warn_unverified(file: Path, remedy: str) -> None:
    """Warn, once per process, that a file of an older version has no record.

    `remedy` ends the message, and names how to add one.
    """
    if file not in _warned:
        _warned.add(file)
        logger.warning("%s: has no record of its size and SHA-256, not verified; %s", file, remedy)


def is_whole(folder: Path, records: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether all files of a folder match their records; warn of the first that does not."""
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
        problem = f"cannot be read ({error.strerror})"
        raise ManifestError(Fault(str(file), None, problem, remedy, "file-unreadable")) from error


def _damaged(file: Path, problem: str, remedy: str) -> ManifestError:
    return ManifestError(
        Fault(str(file), None, f"damaged or exchanged: {problem}", remedy, "file-damaged")
    )
