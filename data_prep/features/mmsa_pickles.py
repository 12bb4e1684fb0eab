"""Read the pickles of MMSA without executing code.

    {train, valid, test} -> id, audio (N, T, C), vision (N, T, C), audio_lengths, vision_lengths,
                            regression_labels, and text, text_bert, raw_text, annotations, ...

Reading a pickle may run code. Here it may name numpy arrays, their types and what these are made
of; anything else is refused before it is looked up.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.errors import CodedError

FLOAT, INT = "f", "iu"  # kinds of dtype
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True)
class PickledSplit:
    """One modality of one split: `frames` (N, T, C) of the rows `ids`, padded to T.

    `lengths` (N,) and `scores` (N,) are None where the pickle has none.
    """

    ids: list[str]  # "<video>$_$<clip>"
    frames: npt.NDArray[Any]
    lengths: npt.NDArray[Any] | None
    scores: npt.NDArray[Any] | None


class _Bytes:
    """`_codecs.encode(text, "latin1")`, by which old protocols write bytes, and no other codec."""

    __slots__ = ()

    def __call__(self, text: str, codec: str = "latin1") -> bytes:
        if codec != "latin1":
            raise pickle.UnpicklingError(f"bytes in the codec {codec!r}")
        return text.encode("latin1")


def _allowed_names() -> dict[tuple[str, str], Any]:
    """Return what a pickle may name; numpy's own functions are looked up in this version of it."""
    array, number = np.zeros(1), np.float64(0)
    makers: dict[str, Callable[..., Any]] = {
        "multiarray._reconstruct": array.__reduce_ex__(2)[0],  # type: ignore[dict-item]
        "multiarray.scalar": number.__reduce_ex__(2)[0],  # type: ignore[dict-item]
        "numeric._frombuffer": array.__reduce_ex__(5)[0],  # type: ignore[dict-item]
    }
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _Bytes(),
        ("__builtin__", "bytes"): bytes,
        ("builtins", "bytes"): bytes,
        ("collections", "OrderedDict"): OrderedDict,
    }
    for core in ("numpy.core", "numpy._core"):
        for name, maker in makers.items():
            module, _, function = name.partition(".")
            names[f"{core}.{module}", function] = maker
    return names


_ALLOWED = _allowed_names()


class _RefusedError(Exception):
    """A name that the pickle must not use."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def load_pickle(path: Path) -> Any:
    """Return the content of a pickle of numbers and text.

    Raises ValueError for a file that names anything else, and for one that cannot be read.
    """
    try:
        with path.open("rb") as file:
            return _Unpickler(file, encoding="latin1").load()
    except _RefusedError as error:
        raise CodedError(
            f"{path}: names {error}, which is neither a number, text nor an array of them; a "
            "pickle can run any program while it is read, so that nothing else is read. Get a "
            "file without it from its source, or, if that is safe, load it and save its arrays",
            "pickle-unsafe",
        ) from None
    except OSError as error:
        raise CodedError(
            f"{path}: cannot be read ({error.strerror}); check the path", "file-unreadable"
        ) from error
    except _BROKEN as error:
        reason = str(error) or type(error).__name__
        raise CodedError(
            f"{path}: is no whole pickle ({reason}); fetch it again", "pickle-unreadable"
        ) from error


def read_modality(path: Path, data: Any, key: str) -> dict[str, PickledSplit]:
    """Return one modality of every split. Raises ValueError where the layout is another."""
    if not isinstance(data, Mapping) or not data:
        raise CodedError(
            f"{path}: holds {type(data).__name__}, not a dict of splits", "pickle-layout"
        )
    return {str(split): _read_split(f"{path}: {split}", data[split], key) for split in data}


def _read_split(path: str, content: Any, key: str) -> PickledSplit:
    missing = [
        name for name in ("id", key) if not isinstance(content, Mapping) or name not in content
    ]
    if missing:
        has = (
            f"has {', '.join(map(str, content))}" if isinstance(content, Mapping) else "is no dict"
        )
        raise CodedError(f"{path}: no {' and no '.join(missing)}; it {has}", "pickle-layout")
    ids = [str(name) for name in content["id"]]
    frames = _array(f"{path}: {key}", content[key], FLOAT + INT, 3, len(ids))
    if not frames.shape[2]:
        raise CodedError(f"{path}: {key}: its frames have no numbers (a width of 0)", "array-shape")
    lengths, scores = content.get(f"{key}_lengths"), content.get("regression_labels")
    return PickledSplit(
        ids,
        frames,
        None
        if lengths is None
        else _array(f"{path}: {key}_lengths", lengths, FLOAT + INT, 1, len(ids)),
        None
        if scores is None
        else _array(f"{path}: regression_labels", scores, FLOAT + INT, 1, len(ids)),
    )


def _array(path: str, values: Any, kinds: str, n_axes: int, n_rows: int) -> npt.NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise CodedError(f"{path}: is no array ({error})", "array-unreadable") from error
    if n_axes == 1:
        array = array.reshape(len(array), -1)[:, 0] if array.ndim > 1 else array
    if array.dtype.kind not in kinds or array.ndim != n_axes or len(array) != n_rows:
        shape = "(N, T, C)" if n_axes == 3 else "(N,)"
        raise CodedError(
            f"{path}: holds {array.dtype} {array.shape}, not numbers {shape} for {n_rows} ids",
            "array-shape",
        )
    return array
