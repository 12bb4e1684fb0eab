"""Frames of all rows of a split in one array: written row by row, read by mmap.

The layout of emotion2vec: `{split}.npy` holds the stacked frames, (sum of lengths, C), and
`{split}.lengths` the number of frames of each row, 0 if it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from data_prep.errors import (
    CodedError,
    Fault,
    ManifestError,
)
from data_prep.files.arrays import UnreadableArrayError, load_array
from data_prep.files.replacing import replacing

_DIGITS = 19  # of the largest int64

FloatArray = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class StoredFeatures:
    """One split: `frames` (sum of lengths, C) by mmap, and where each row's begin, (N + 1,).

    `unchecked` names the rows of frames that nobody has looked through yet: they are checked when
    they are read, which then raises ValueError for one that is NaN or infinite.
    """

    frames: FloatArray
    offsets: npt.NDArray[np.int64]
    unchecked: Sequence[str] = ()

    @property
    def width(self) -> int:
        """C of the frames."""
        return int(self.frames.shape[1])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> FloatArray:
        """Return the frames (T, C) of a row in the stored dtype; T is 0 if it has none."""
        frames = self.frames[self.offsets[row] : self.offsets[row + 1]]
        if self.unchecked and not np.isfinite(frames).all():
            raise CodedError(
                f"{self.unchecked[row]}: its frames are NaN or infinite; compute them again, or "
                "take the row out (a length of 0)",
                "features-not-finite",
            )
        return frames


class FrameRows(Protocol):
    """Frames (T, C) of N rows, T = 0 for a row that has none."""

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(N + 1,) where the frames of each row begin."""

    @property
    def width(self) -> int:
        """C of the frames."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> FloatArray: ...


class JoinedFeatures:
    """The rows of several splits, one split after the other, each by mmap.

    Attributes:
        offsets: (N + 1,) where the frames of each row begin, all splits counted.
        width: C of the frames.

    Raises:
        CodedError: the frames of two splits have different widths.
    """

    def __init__(self, parts: Sequence[StoredFeatures]) -> None:
        widths = {part.width for part in parts if len(part.frames)}
        if len(widths) > 1:
            raise CodedError(
                f"frames of {' and '.join(map(str, sorted(widths)))} numbers in splits that folds "
                "join; extract them of all splits by one encoder",
                "features-width",
            )
        self._parts = parts
        self._first = np.cumsum([0, *map(len, parts)])  # row of each part
        lengths = [np.diff(part.offsets) for part in parts]
        self.offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
        self.width = max(widths, default=parts[0].width)

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, row: int) -> FloatArray:
        """Return the frames (T, C) of a row in the stored dtype; T is 0 if it has none."""
        part = int(np.searchsorted(self._first, row, side="right")) - 1
        return self._parts[part][row - int(self._first[part])]


def read_frames(folder: Path, split: str) -> StoredFeatures:
    """Open the files of `write_frames`. Raises ManifestError if they do not match."""
    array = read_array(folder / f"{split}.npy")
    lengths = _read_lengths(folder / f"{split}.lengths", len(array))
    return StoredFeatures(array, np.concatenate([[0], np.cumsum(lengths)]))


def _read_lengths(file: Path, n_frames: int) -> npt.NDArray[np.int64]:
    """Read the number of frames of each row, (N,), whose sum is `n_frames`."""
    again = "compute both again"
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"is no list of lengths, one a line ({error})"
        raise ManifestError(Fault(str(file), None, problem, again, "features-missing")) from error
    lengths = []
    for row, line in enumerate(lines, start=1):
        if not (digits := line.strip()):
            continue
        # Not by numpy: a sum over int64 wraps, and lengths beyond the frames then add up.
        if not (digits.isdecimal() and len(digits) < _DIGITS and int(digits) <= n_frames):
            problem = f"{digits[:40]!r} is no length from 0 to {n_frames}, the frames there are"
            raise ManifestError(Fault(str(file), row, problem, again, "features-damaged"))
        lengths.append(int(digits))
    if sum(lengths) != n_frames:
        problem = f"lengths add up to {sum(lengths)}, but {file.stem}.npy has {n_frames} frames"
        raise ManifestError(
            Fault(
                str(file), None, f"{problem}; they are of different runs", again, "features-damaged"
            )
        )
    return np.array(lengths, dtype=np.int64)


def read_array(file: Path) -> FloatArray:
    """Map an array (frames, C). Raises ManifestError if the file is invalid."""
    again = "write it again"
    try:
        array: FloatArray = load_array(file, "r")
    except UnreadableArrayError as error:
        raise ManifestError(
            Fault(str(file), None, str(error), again, "array-unreadable")
        ) from error
    if array.ndim != 2 or array.dtype.kind != "f":
        problem = f"holds {array.dtype} {array.shape}, not floating (frames, C)"
        remedy = "stack the frames of all rows, without padding"
        raise ManifestError(Fault(str(file), None, problem, remedy, "array-shape"))
    if len(array) and not array.shape[1]:
        problem = f"its {len(array)} frames have no numbers (a width of 0)"
        raise ManifestError(Fault(str(file), None, problem, again, "array-shape"))
    if isinstance(array, np.memmap) and (extra := file.stat().st_size - _end_of(array)):
        problem = f"{extra} bytes more than its header names"
        raise ManifestError(Fault(str(file), None, problem, again, "features-damaged"))
    return array


def _end_of(array: np.memmap[Any, Any]) -> int:
    return int(array.offset) + int(array.nbytes)


def rows_not_finite(stored: StoredFeatures) -> Iterator[int]:
    """Yield the numbers of the rows that have NaN or infinity; reads all frames."""
    for row in range(len(stored)):
        frames = stored.frames[stored.offsets[row] : stored.offsets[row + 1]]
        if not np.isfinite(frames).all():
            yield row


def write_frames(
    folder: Path,
    split: str,
    frames_of_rows: Iterable[FloatArray],
    dtype: npt.DTypeLike,
    name_of: Callable[[int], str] = "row {}".format,
    wider: str = "",
    when_written: Callable[[], None] = lambda: None,
) -> list[int]:
    """Write (T_i, C) frames row by row, each file whole or not at all; returns the lengths.

    `name_of` a row's number and `wider`, the option of a wider type, are for messages;
    `when_written` is called after the last row, before the files take the place of older ones.
    Raises ValueError, naming the row, if frames are NaN, infinite, beyond the range of `dtype` or
    of another width than those before.
    """
    lengths: list[int] = []
    n_frames, width = 0, 0
    with replacing(folder / f"{split}.npy", is_locked=True) as part:
        with part.open("wb") as file:
            start = _write_header(file, (0, 0), dtype)
            for row, frames in enumerate(frames_of_rows):
                if len(frames) and n_frames and frames.shape[1] != width:
                    raise CodedError(
                        f"{name_of(row)}: frames of {frames.shape[1]} numbers, {width} before it; "
                        "all must be of one encoder",
                        "features-width",
                    )
                if len(frames) or not n_frames:
                    width = frames.shape[1]
                lengths.append(len(frames))
                n_frames += len(frames)
                file.write(_narrowed(frames, dtype, name_of(row), wider).tobytes())
            file.seek(0)
            if _write_header(file, (n_frames, width), dtype) != start:
                raise AssertionError("numpy wrote headers of two lengths")
        with replacing(folder / f"{split}.lengths", is_locked=True) as lengths_part:
            lengths_part.write_text("\n".join(map(str, lengths)) + "\n", encoding="utf-8")
            when_written()
    return lengths


def _narrowed(frames: FloatArray, dtype: npt.DTypeLike, name: str, wider: str) -> FloatArray:
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(frames, dtype)
    if np.isfinite(narrow).all():
        return narrow
    if np.isfinite(frames).all():
        raise CodedError(
            f"{name}: a number of {np.abs(frames).max():g} is beyond {np.dtype(dtype)}; "
            f"{wider or 'store float32'}",
            "features-out-of-range",
        )
    raise CodedError(
        f"{name}: frames are NaN or infinite; look at its source", "features-not-finite"
    )


def _write_header(file: BinaryIO, shape: tuple[int, int], dtype: npt.DTypeLike) -> int:
    """A .npy header, in which numpy leaves room for the first axis to grow; returns its end."""
    head = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    return file.tell()
