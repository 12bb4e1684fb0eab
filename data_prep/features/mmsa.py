"""A modality of MMSA's pickles as a source of features, in the order of a manifest's rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.errors import CodedError
from data_prep.features.frame_files import FloatArray
from data_prep.features.mmsa_pickles import PickledSplit
from data_prep.schema import Utterance

logger = logging.getLogger(__name__)


def utterance_id(video: str, clip: str) -> str:
    """Return the id of an utterance of MMSA's corpora.

    >>> utterance_id("_dI--eQ6qVU", "3_13")
    '_dI--eQ6qVU_3_13'
    """
    return f"{video}_{clip}"


NONFINITE = ("refuse", "zero")
SCORE_TOLERANCE = 0.01
_SEPARATOR = "$_$"  # of video and clip in the pickle's ids


@dataclass
class Report:
    """Counts of the features of one split."""

    rows: int = 0
    missing: int = 0  # not in the pickle
    empty: int = 0  # whose frames are all zeros
    beyond: int = 0  # with frames beyond their given length
    other_score: int = 0  # with another score in the pickle than in the manifest
    nonfinite: int = 0  # with numbers that are NaN or infinite: so many of each
    nan: int = 0
    plus_inf: int = 0
    minus_inf: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts for the card of the features."""
        return asdict(self)

    @property
    def odd_numbers(self) -> str:
        """Return numbers that are not finite, such as `2 NaN, 0 +inf, 7 -inf`."""
        return f"{self.nan} NaN, {self.plus_inf} +inf, {self.minus_inf} -inf"

    def __str__(self) -> str:
        notes = {
            "not in the pickle": self.missing,
            "of zeros alone": self.empty,
            "with frames beyond their length, which are lost (--lengths content)": self.beyond,
            "with another score than the manifest": self.other_score,
            f"with numbers that are none ({self.odd_numbers}), written as 0": self.nonfinite,
        }
        n_rows = self.rows - self.missing - self.empty
        parts = [f"{count} {note}" for note, count in notes.items() if count]
        return ", ".join([f"{n_rows} of {self.rows} rows have features", *parts])


class PickledFeatures:
    """Features of a modality as a source of `extract`; `digest` is that of the pickle."""

    def __init__(
        self,
        modality: str,
        splits: Mapping[str, PickledSplit],
        digest: str,
        *,
        lengths: str,
        nonfinite: str,
    ) -> None:
        self.modality = modality
        self.unpadded = Unpadded(splits, lengths)
        self._splits = splits
        self._digest = digest
        self._nonfinite = nonfinite
        self._positions = _positions(splits)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return the settings on which the frames depend besides the pickle."""
        return {
            "features": f"mmsa {self.modality}",
            "lengths": self.unpadded.by,
            "nonfinite": self._nonfinite,
        }

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """Return the digest of the pickle."""
        return self._digest

    def facts(self) -> Mapping[str, Any]:
        """Return nothing: the card has all that is known."""
        return {}

    def frames(
        self, split: str, rows: Sequence[Utterance], compute: object = None
    ) -> Iterator[FloatArray]:
        """Yield the frames of each row, none if it is not in the pickle; nothing is computed."""
        none = np.zeros((0, self.unpadded.width), dtype=np.float32)
        for row in rows:
            position = self._positions.get(row.id)
            frames = none if position is None else self.unpadded.row(*position)
            if self._nonfinite == "zero":
                frames = np.where(np.isfinite(frames), frames, 0)
            yield frames.astype(np.float32)

    def survey(self, split: str, rows: Sequence[Utterance]) -> Report:
        """Count what `frames` will give, and log what is odd of it.

        Raises ValueError if no row is in the pickle, or if numbers are NaN or infinite and
        `nonfinite` is not "zero".
        """
        report = Report(len(rows))
        for row in rows:
            if row.id in self._positions:
                self._count(row, self._positions[row.id], report)
            else:
                report.missing += 1
        if rows and report.missing == len(rows):
            theirs = next(iter(self._positions), "no row at all")
            raise CodedError(
                f"{split}: none of its rows is in the pickle, which has {theirs} and others, where "
                f"the manifest has {rows[0].id}; give the pickle of this corpus",
                "features-mismatch",
            )
        if report.nonfinite and self._nonfinite == "refuse":
            raise CodedError(
                f"{split}: {self.modality} of {report.nonfinite} rows holds numbers that are none "
                f"({report.odd_numbers}); give --nonfinite zero to write 0 instead",
                "features-not-finite",
            )
        if report.missing or report.beyond or report.other_score or report.nonfinite:
            logger.warning("%s of %s: %s", self.modality, split, report)
        return report

    def _count(self, row: Utterance, position: tuple[str, int], report: Report) -> None:
        split, number = position
        frames = self.unpadded.row(split, number)
        report.empty += not len(frames)
        report.beyond += self.unpadded.has_more(split, number)
        _count_nonfinite(frames, report)
        scores = self._splits[split].scores
        if scores is not None and row.sentiment_score is not None:
            is_same = abs(float(scores[number]) - row.sentiment_score) <= SCORE_TOLERANCE
            report.other_score += not is_same  # a score of NaN is not


def _count_nonfinite(frames: Frames, report: Report) -> None:
    if not np.isfinite(frames).all():
        report.nonfinite += 1
        report.nan += int(np.isnan(frames).sum())
        report.plus_inf += int(np.isposinf(frames).sum())
        report.minus_inf += int(np.isneginf(frames).sum())


def _positions(splits: Mapping[str, PickledSplit]) -> dict[str, tuple[str, int]]:
    """{the manifest's id: (split, number of the row)}.

    Raises ValueError for an id that is there twice with other frames, since it is unknown which of
    them are meant.
    """
    positions: dict[str, tuple[str, int]] = {}
    repeated = 0
    for split, rows in splits.items():
        for number, name in enumerate(rows.ids):
            video, separator, clip = name.partition(_SEPARATOR)
            row_id = utterance_id(video, clip) if separator else name
            first = positions.setdefault(row_id, (split, number))
            if first == (split, number):
                continue
            if (other := splits[first[0]].ids[first[1]]) != name:
                raise CodedError(
                    f"{split}: {name} in row {number + 1}, and {other} in row {first[1] + 1} of "
                    f"{first[0]}, are both the utterance {row_id}; rename one of them",
                    "id-ambiguous",
                )
            if not _are_same(splits, first, (split, number)):
                raise CodedError(
                    f"{split}: {name} is there twice, in row {first[1] + 1} of {first[0]} and in "
                    f"row {number + 1} of {split}, with other frames; fetch the pickle again",
                    "id-duplicate",
                )
            repeated += 1
    if repeated:
        logger.warning("%d rows of the pickle repeat another one, id and frames", repeated)
    return positions


def _are_same(
    splits: Mapping[str, PickledSplit], first: tuple[str, int], other: tuple[str, int]
) -> bool:
    """Whether two rows have the same frames and length."""
    frames, lengths = [], []
    for split, number in (first, other):
        rows = splits[split]
        frames.append(rows.frames[number])
        lengths.append(None if rows.lengths is None else rows.lengths[number])
    return lengths[0] == lengths[1] and np.array_equal(frames[0], frames[1], equal_nan=True)


# -- Padding ---------------------------------------------------------------------------------------
# Most pickles pad behind the frames, some before: which of them is seen from the frames themselves,
# for all rows at once, since a row may well begin or end with zeros of its own (silence, no face).

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
        self._occupied = {name: occupied_frames(split.frames) for name, split in splits.items()}
        has_lengths = all(split.lengths is not None for split in splits.values())
        if lengths == "given" and not has_lengths:
            raise CodedError(
                "--lengths given: the pickle has no lengths; leave the option out",
                "lengths-missing",
            )
        self.by = "given" if has_lengths and lengths != "content" else "content"
        if self.by == "given":
            _check_lengths(splits)
        self.is_front = _is_in_front(self._occupied)

    def __str__(self) -> str:
        by = "the pickle's lengths" if self.by == "given" else "the frames of zeros"
        return f"{'before' if self.is_front else 'behind'} the frames, cut off by {by}"

    @property
    def width(self) -> int:
        """Return the width of a frame."""
        return int(next(iter(self._splits.values())).frames.shape[2])

    def row(self, split: str, number: int) -> Frames:
        """Return the frames (T, C) of a row; T is 0 if all are zeros."""
        start, stop = self._span(split, number)
        if not self._occupied[split][number, start:stop].any():
            stop = start
        return self._splits[split].frames[number, start:stop]

    def has_more(self, split: str, number: int) -> bool:
        """Whether frames that are not all zeros are where padding should be."""
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
    for split, content in splits.items():
        n_frames = content.frames.shape[1]
        lengths = np.zeros(0) if content.lengths is None else content.lengths
        is_one = (lengths >= 0) & (lengths <= n_frames) & (lengths == np.floor(lengths))
        for number in np.flatnonzero(~is_one).tolist():
            raise CodedError(
                f"{split}: {content.ids[number]}: its length is {lengths[number]}, where the "
                f"pickle has {n_frames} frames a row; fetch the pickle again, or give --lengths "
                "content",
                "lengths-mismatch",
            )


def occupied_frames(frames: Frames) -> Mask:
    """Return (N, T) for (N, T, C): whether a frame is not all zeros."""
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
