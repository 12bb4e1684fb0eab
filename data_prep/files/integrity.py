"""One integrity check of binary files: what was written is what is read, or it is refused.

Whatever writes a binary file keeps a record of it in the document beside it (`features.yaml`,
`tokenizer.yaml`, `config.json`, ...), written after the file: its size and SHA-256. Whatever opens
the file holds it to the record. A record is plain values:

    train.npy: {size: 10368, sha256: 9f86d081884c...}

A file's bytes are read once a version: see :mod:`data_prep.files.digests`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from data_prep.errors import (
    Fault,
    ManifestError,
)
from data_prep.files.digests import digest_once
from data_prep.files.documents import (
    Count,
    Document,
)

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
        raise ManifestError(Fault(str(file), None, what, remedy)) from error


def _damaged(file: Path, what: str, remedy: str) -> ManifestError:
    return ManifestError(Fault(str(file), None, f"damaged or exchanged: {what}", remedy))
