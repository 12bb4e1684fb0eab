"""Arrays out of NumPy's files: the one place that opens `.npy` and `.npz`, without pickle."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from data_prep.errors import CodedError

T = TypeVar("T")

# What numpy raises for a file that is damaged, or of another kind. Its header is a Python literal,
# which is read by the tokenizer; a shape that a damaged one claims may be more than memory holds.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    AttributeError,
    MemoryError,
    SyntaxError,
    RuntimeError,  # of zipfile: encrypted, or packed in a way it does not have
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class UnreadableArrayError(CodedError):
    """Why a file holds no array, in one line without the file's name."""


def load_array(file: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Load one array.

    Args:
        file: a `.npy` file.
        mmap_mode: "r" maps the file instead of reading it.

    Raises:
        UnreadableArrayError: it cannot be opened, is damaged, or is an archive.
    """
    try:
        array = np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except _UNREADABLE as error:
        raise UnreadableArrayError(
            f"cannot be read as an array ({_first_line(error)})", "array-unreadable"
        ) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise UnreadableArrayError("is an archive (.npz), not one array (.npy)", "array-unreadable")
    return array


def load_archive(file: Path, read: Callable[[Any], T]) -> T:
    """Load what `read` takes from an open archive.

    Args:
        file: a `.npz` file.
        read: gets a mapping of names to arrays; what it raises for absent names, shapes and types
            counts as unreadable, too.

    Raises:
        UnreadableArrayError: it cannot be opened, or is damaged; or `read` failed.
    """
    try:
        with np.load(file, allow_pickle=False) as content:
            return read(content)
    except _UNREADABLE as error:
        raise UnreadableArrayError(
            f"cannot be read ({_first_line(error)})", "array-unreadable"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
