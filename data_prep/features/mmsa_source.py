"""A modality of MMSA's pickles as a source of features, in the order of a manifest's rows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_prep.features.frame_files import FloatArray
from data_prep.features.mmsa_padding import Frames, Unpadded
from data_prep.features.mmsa_pickle import PickledSplit
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
    """What was found for the rows of one split."""

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
        """For the card of the features."""
        return asdict(self)

    @property
    def odd_numbers(self) -> str:
        """Such as `2 NaN, 0 +inf, 7 -inf`."""
        return f"{self.nan} NaN, {self.plus_inf} +inf, {self.minus_inf} -inf"

    def __str__(self) -> str:
        said = {
            "not in the pickle": self.missing,
            "of zeros alone": self.empty,
            "with frames beyond their length, which are lost (--lengths content)": self.beyond,
            "with another score than the manifest": self.other_score,
            f"with numbers that are none ({self.odd_numbers}), written as 0": self.nonfinite,
        }
        found = self.rows - self.missing - self.empty
        parts = [f"{count} {what}" for what, count in said.items() if count]
        return ", ".join([f"{found} of {self.rows} rows have features", *parts])


class PickledFeatures:
    """What `features.splits.extract` asks for; `digest` is that of the pickle's bytes."""

    def __init__(
        self,
        modality: str,
        splits: Mapping[str, PickledSplit],
        digest: str,
        *,
        lengths: str = "auto",
        nonfinite: str = "refuse",
    ) -> None:
        self.modality = modality
        self.unpadded = Unpadded(splits, lengths)
        self._splits = splits
        self._digest = digest
        self._nonfinite = nonfinite
        self._places = _places(splits)

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the frames depend on besides the pickle."""
        return {
            "features": f"mmsa {self.modality}",
            "lengths": self.unpadded.by,
            "nonfinite": self._nonfinite,
        }

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """The pickle's digest."""
        return self._digest

    def frames(self, split: str, rows: Sequence[Utterance]) -> Iterator[FloatArray]:
        """Frames of each row, none where the pickle has none of it."""
        none = np.zeros((0, self.unpadded.width), dtype=np.float32)
        for row in rows:
            place = self._places.get(row.id)
            frames = none if place is None else self.unpadded.row(*place)
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
            if row.id in self._places:
                self._count(row, self._places[row.id], report)
            else:
                report.missing += 1
        if rows and report.missing == len(rows):
            theirs = next(iter(self._places), "no row at all")
            raise ValueError(
                f"{split}: none of its rows is in the pickle, which has {theirs} and others, where "
                f"the manifest has {rows[0].id}; give the pickle of this corpus"
            )
        if report.nonfinite and self._nonfinite == "refuse":
            raise ValueError(
                f"{split}: {self.modality} of {report.nonfinite} rows holds numbers that are none "
                f"({report.odd_numbers}); give --nonfinite zero to write 0 in their place"
            )
        if report.missing or report.beyond or report.other_score or report.nonfinite:
            logger.warning("%s of %s: %s", self.modality, split, report)
        return report

    def _count(self, row: Utterance, place: tuple[str, int], report: Report) -> None:
        split, number = place
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


def _places(splits: Mapping[str, PickledSplit]) -> dict[str, tuple[str, int]]:
    """{the manifest's id: (split, number of the row)}.

    Raises ValueError for an id that is there twice with other frames, since it is unknown which of
    them are meant.
    """
    found: dict[str, tuple[str, int]] = {}
    repeated = 0
    for split, rows in splits.items():
        for number, name in enumerate(rows.ids):
            video, separator, clip = name.partition(_SEPARATOR)
            row_id = utterance_id(video, clip) if separator else name
            first = found.setdefault(row_id, (split, number))
            if first == (split, number):
                continue
            if not _are_same(splits, first, (split, number)):
                raise ValueError(
                    f"{split}: {name} is there twice, in row {first[1] + 1} of {first[0]} and in "
                    f"row {number + 1} of {split}, with other frames; fetch the pickle again"
                )
            repeated += 1
    if repeated:
        logger.warning("%d rows of the pickle repeat another one, id and frames", repeated)
    return found


def _are_same(
    splits: Mapping[str, PickledSplit], one: tuple[str, int], other: tuple[str, int]
) -> bool:
    """Whether two rows have the same frames and length."""
    frames, lengths = [], []
    for split, number in (one, other):
        rows = splits[split]
        frames.append(rows.frames[number])
        lengths.append(None if rows.lengths is None else rows.lengths[number])
    return lengths[0] == lengths[1] and np.array_equal(frames[0], frames[1], equal_nan=True)
