"""``--normalize-by``: which rows' statistics normalize the frames of a row.

``train``, the default, has those of the train split: how loud somebody speaks is part of the
emotion. The others take them from the rows that are read themselves, whatever their labels: those
of the same corpus or speaker in the same split, or the row alone. Of held-out rows this is
transductive: a row is predicted with the help of others that are not labeled, but there.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_prep.messages import first_few
from data_prep.schema import Utterance
from emo_fairseq.data.frame_statistics import (
    MIN_FRAMES,
    Frames,
    FrameStatistics,
    Normalization,
)
from emo_fairseq.option_values import BY_CORPUS, BY_SPEAKER, BY_TRAIN, BY_UTTERANCE

logger = logging.getLogger(__name__)

_SAMPLE = {BY_CORPUS: 1000, BY_SPEAKER: 200}  # utterances that the statistics of a group are of
_SEED = 0


@dataclass(frozen=True)
class RowGroups:
    """Which rows are normalized together.

    Attributes:
        by: one of :data:`emo_fairseq.option_values.NORMALIZATIONS`.
        names: (N,) of the group of each row; None where a row has none, and is taken alone.
    """

    by: str
    names: Sequence[str | None]

    @classmethod
    def of(cls, by: str, rows: Sequence[Utterance], corpus: str | None) -> "RowGroups":
        """Group the rows of a manifest; speakers of two corpora are two.

        Args:
            by: one of :data:`emo_fairseq.option_values.NORMALIZATIONS`.
            rows: of one split.
            corpus: of the data dir; None without a name.
        """
        from data_prep.manifest.table import values

        if by == BY_UTTERANCE:
            return cls(by, [None] * len(rows))
        corpora = [name or corpus or "" for name in values(rows, "corpus")]
        if by == BY_SPEAKER:
            names = [
                None if speaker is None else f"{name}/{speaker}"
                for speaker, name in zip(values(rows, "speaker"), corpora, strict=True)
            ]
            return cls(by, names)
        return cls(by, corpora)

    def fit(
        self, frames: Frames, present: npt.NDArray[np.bool_], of_train: FrameStatistics
    ) -> Normalization:
        """Fit the statistics of each group.

        Args:
            frames: N items ((T, C) frames, presence), not normalized.
            present: (N,) which rows have frames.
            of_train: the statistics of groups with fewer than :data:`MIN_FRAMES` frames.
        """
        if self.by == BY_TRAIN:
            return Normalization.of_train(of_train, len(frames))
        n_frames = np.where(present, np.asarray(frames.sizes), 0)
        of_row = np.where(n_frames < MIN_FRAMES, 0, Normalization.ITSELF)
        groups: dict[str, list[int]] = {}
        for row, name in enumerate(self.names):
            if name is not None and present[row]:
                groups.setdefault(name, []).append(row)
        statistics = [of_train]
        for rows in groups.values():
            of_row[rows] = 0
            if n_frames[rows].sum() >= MIN_FRAMES:
                of_row[rows] = len(statistics)
                n_sampled = _SAMPLE[self.by]
                statistics.append(FrameStatistics.fit(frames, n_sampled, _SEED, np.array(rows)))
        return Normalization(statistics, of_row)

    def describe_exceptions(
        self, normalization: Normalization, present: npt.NDArray[np.bool_]
    ) -> str:
        """Return which rows are normalized otherwise than their group; empty for none.

        Args:
            normalization: of these rows.
            present: (N,) which rows have frames.
        """
        if self.by == BY_TRAIN:
            return ""
        by_train = present & (normalization.of_row == 0)
        alone = present & ~by_train & np.array([name is None for name in self.names], dtype=bool)
        parts = []
        if by_train.any():
            names = Counter(
                self.names[row] or "itself" for row in np.flatnonzero(by_train).tolist()
            )
            parts.append(
                f"{by_train.sum()} rows by the statistics of the train split, since the "
                f"{self.by} has fewer than {MIN_FRAMES} frames ({first_few(list(names))})"
            )
        if alone.any() and self.by != BY_UTTERANCE:
            parts.append(f"{alone.sum()} rows without a {self.by} by their own frames alone")
        return " and ".join(parts)
