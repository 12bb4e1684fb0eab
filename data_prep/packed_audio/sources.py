"""The audio files that a pack was made from: their content, and whether it has changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.files.digests import file_digests
from data_prep.files.remote import as_path

# Of one file: its size in bytes, its times of modification and of change in ns, its inode, and the
# SHA-256 of its content.
SOURCE = np.dtype([("stamp", "<i8", (4,)), ("sha256", "u1", (32,))])

Stamp = tuple[int, int, int, int]

_THREADS = 16  # a network file system answers many questions at a time
_AT_ONCE = 2048
_ABSENT = (-1, -1, -1, -1)
_SIZE, _INODE_BITS = 0, 2**63 - 1
_SECOND_NS = 10**9
_NEW_NS = 2 * _SECOND_NS  # FAT stores even seconds


class Comparison(NamedTuple):
    """How files differ from what they were: numbers of files (K,)."""

    changed: npt.NDArray[np.int64]
    absent: npt.NDArray[np.int64]


def stamp(path: str | Path) -> Stamp:
    """Return size, times and inode of a file, of which another version of it has others.

    A file that is replaced by one of the same size and time of modification, as a copy that keeps
    times, has another time of change.

    Raises:
        OSError: there is no such file.
    """
    if "://" in str(path):
        status = as_path(path).stat()
    else:
        status = os.stat(path)  # noqa: PTH116  # a Path of each of a million files takes longer
    inode = status.st_ino & _INODE_BITS
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode


def stamp_to_keep(current: Stamp) -> Stamp:
    """Return the stamp that is stored of a file, or one that no file has.

    A new file of a file system that stores whole seconds may change again in the same second.
    """
    size, *times, _ = current
    is_whole = max(times) % _SECOND_NS == 0
    is_new = max(times) > time.time_ns() - _NEW_NS
    return (size, -1, -1, -1) if is_whole and is_new else current


def compare(sources: np.ndarray, paths: Sequence[str], memory: Path) -> Comparison:
    """Compare files with what they were when they were packed.

    A file of the same size, times and inode is the same. Another one of its size, such as a copy,
    is compared by its digest.

    Args:
        sources: (F,) of :data:`SOURCE`.
        paths: where they are now.
        memory: file in which digests are cached.
    """
    parts = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        stamps = np.concatenate([np.zeros((0, 4), np.int64), *pool.map(_stamps, parts)])
    differs = stamps != sources["stamp"]
    absent = (stamps == _ABSENT).all(axis=1)
    changed = ~absent & differs[:, _SIZE]
    doubtful = np.flatnonzero(~absent & ~changed & differs.any(axis=1))
    digests = file_digests([as_path(paths[file]) for file in doubtful.tolist()], memory)
    for file, digest in zip(doubtful.tolist(), digests, strict=True):
        changed[file] = digest != sources["sha256"][file].tobytes().hex()
    return Comparison(np.flatnonzero(changed), np.flatnonzero(absent))


def _stamps(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([stamp_or_absent(path) for path in paths], np.int64).reshape(-1, 4)


def stamp_or_absent(path: str | Path) -> Stamp:
    """Return the stamp of a file, or that of no file."""
    try:
        return stamp(path)
    except OSError:
        return _ABSENT
