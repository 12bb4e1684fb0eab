"""Load NumPy's `.npy` and `.npz` files without pickle."""

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

# Errors of numpy for a file that is damaged or of another kind. The header is a Python literal,
# parsed by the tokenizer; the shape in a damaged one may exceed the memory.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    EOFError,
    AttributeError,
    MemoryError,
    SyntaxError,
    RuntimeError,  # of zipfile: encrypted, or of an unsupported compression
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class UnreadableArrayError(CodedError):
    """A file that is not an array; the message, one line, does not name it."""


def load_array(file: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Load a `.npy` file; `mmap_mode` "r" maps it instead of reading it.

    Raises:
        UnreadableArrayError: the file cannot be opened, is damaged, or is an archive.
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
    """Load arrays from an archive.

    Args:
        file: a `.npz` file.
        read: called with a mapping of names to arrays; its errors for missing names, shapes and
            types are converted to UnreadableArrayError.

    Returns:
        The result of `read`.

    Raises:
        UnreadableArrayError: the file cannot be opened or is damaged, or `read` failed.
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
