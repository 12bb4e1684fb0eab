"""Rows of MMSA's pickles, (N, T, C), without the frames of zeros that pad them to one length.

Most pickles pad behind the frames, some before: which of them is seen from the frames themselves,
for all rows at once, since a row may well begin or end with zeros of its own (silence, no face).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.features.mmsa_pickle import PickledSplit

LENGTHS = ("auto", "given", "content")
_ROWS_AT_ONCE = 256

Frames = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Unpadded:
    """One modality of a pickle: where the frames of each row begin and end.

    `lengths` says by what: `given`, the pickle's lengths; `content`, the outermost frame that is
    not all zeros; `auto`, the first if it has them. Raises ValueError for lengths it has not, and
    for those that are none: negative, no whole number, beyond the frames.
    """

    def __init__(self, splits: Mapping[str, PickledSplit], lengths: str = "auto") -> None:
        self._splits = splits
        self._occupied = {split: occupied_frames(found.frames) for split, found in splits.items()}
        has_lengths = all(found.lengths is not None for found in splits.values())
        if lengths == "given" and not has_lengths:
            raise ValueError("--lengths given: the pickle has no lengths; leave the option out")
        self.by = "given" if has_lengths and lengths != "content" else "content"
        if self.by == "given":
            _check_lengths(splits)
        self.is_front = _is_in_front(self._occupied)

    def __str__(self) -> str:
        by = "the pickle's lengths" if self.by == "given" else "the frames of zeros"
        return f"{'before' if self.is_front else 'behind'} the frames, cut off by {by}"

    @property
    def width(self) -> int:
        """Numbers in a frame."""
        return int(next(iter(self._splits.values())).frames.shape[2])

    def row(self, split: str, number: int) -> Frames:
        """(T, C) frames of one row; T is 0 if all of them are zeros."""
        start, stop = self._span(split, number)
        if not self._occupied[split][number, start:stop].any():
            stop = start
        return self._splits[split].frames[number, start:stop]

    def has_more(self, split: str, number: int) -> bool:
        """Whether frames that are not all zeros lie where padding should."""
        start, stop = self._span(split, number)
        occupied = self._occupied[split][number]
        return bool(occupied[:start].any() or occupied[stop:].any())

    def _span(self, split: str, number: int) -> tuple[int, int]:
        occupied = self._occupied[split][number]
        lengths = self._splits[split].lengths
        if self.by == "given" and lengths is not None:
            length = int(lengths[number])
        else:
            where = np.flatnonzero(occupied)
            outermost = (len(occupied) - where[0], where[-1] + 1) if len(where) else (0, 0)
            length = int(outermost[0 if self.is_front else 1])
        return (len(occupied) - length, len(occupied)) if self.is_front else (0, length)


def _check_lengths(splits: Mapping[str, PickledSplit]) -> None:
    for split, found in splits.items():
        n_frames = found.frames.shape[1]
        lengths = np.zeros(0) if found.lengths is None else found.lengths
        is_one = (lengths >= 0) & (lengths <= n_frames) & (lengths == np.floor(lengths))
        for number in np.flatnonzero(~is_one).tolist():
            raise ValueError(
                f"{split}: {found.ids[number]}: its length is {lengths[number]}, where the pickle "
                f"has {n_frames} frames a row; fetch the pickle again, or give --lengths content"
            )


def occupied_frames(frames: Frames) -> Mask:
    """(N, T, C) -> (N, T): whether a frame is anything but zeros (NaN is)."""
    chunks = [
        (frames[start : start + _ROWS_AT_ONCE] != 0).any(axis=-1)
        for start in range(0, len(frames), _ROWS_AT_ONCE)
    ]
    return np.concatenate(chunks) if chunks else np.zeros(frames.shape[:2], dtype=bool)


def _is_in_front(occupied: Mapping[str, Mask]) -> bool:
    """Whether more rows begin with zeros than end with them; rows of zeros alone do not vote."""
    begin, end = 0, 0
    for mask in occupied.values():
        voters = mask[mask.any(axis=1)]
        if voters.size:
            begin += int((~voters[:, 0]).sum())
            end += int((~voters[:, -1]).sum())
    return begin > end
