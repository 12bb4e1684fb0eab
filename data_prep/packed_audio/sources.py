"""The audio files that a pack was made from: their content, and whether it has changed since."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data_prep.files.digests import file_digests
from data_prep.files.remote import as_path

# Of one file: its size in bytes, its time of change in ns, and the SHA-256 of its content.
SOURCE = np.dtype([("size", "<i8"), ("changed", "<i8"), ("sha256", "u1", (32,))])

_THREADS = 16  # a network file system answers many questions at a time
_AT_ONCE = 2048
_ABSENT = -1


class Comparison(NamedTuple):
    """How files differ from what they were: numbers of files (K,)."""

    changed: npt.NDArray[np.int64]
    absent: npt.NDArray[np.int64]


def stamp(path: str | Path) -> tuple[int, int]:
    """Return the size of a file in bytes and its time of change in ns.

    Raises:
        OSError: there is no such file.
    """
    if "://" in str(path):
        status = as_path(path).stat()
    else:
        status = os.stat(path)  # noqa: PTH116  # a Path of each of a million files takes longer
    return status.st_size, status.st_mtime_ns


def compare(sources: np.ndarray, paths: Sequence[str], memory: Path) -> Comparison:
    """Compare files with what they were when they were packed.

    A file of the same size and time of change is the same. One of another time, such as a copy, is
    compared by its digest.

    Args:
        sources: (F,) of :data:`SOURCE`.
        paths: where they are now.
        memory: file in which digests are cached.
    """
    parts = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with ThreadPoolExecutor(_THREADS) as pool:
        stamps = np.concatenate([np.zeros((0, 2), np.int64), *pool.map(_stamps, parts)])
    absent = stamps[:, 0] == _ABSENT
    changed = ~absent & (stamps[:, 0] != sources["size"])
    doubtful = np.flatnonzero(~absent & ~changed & (stamps[:, 1] != sources["changed"]))
    digests = file_digests([as_path(paths[file]) for file in doubtful.tolist()], memory)
    for file, digest in zip(doubtful.tolist(), digests, strict=True):
        changed[file] = digest != sources["sha256"][file].tobytes().hex()
    return Comparison(np.flatnonzero(changed), np.flatnonzero(absent))


def _stamps(paths: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([_stamp_or_absent(path) for path in paths], np.int64).reshape(-1, 2)


def _stamp_or_absent(path: str) -> tuple[int, int]:
    try:
        return stamp(path)
    except OSError:
        return _ABSENT, _ABSENT
