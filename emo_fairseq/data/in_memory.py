"""Rows in memory, such as those of a request, as the modality datasets of rows on disk."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from fairseq.data import FairseqDataset

from data_prep.features.stored import StoredFeatures
from data_prep.tokens.folder import SpecialIds, Tokens
from emo_fairseq.data.audio import InMemoryWaveforms
from emo_fairseq.data.dialogue import NO_PREFIX, ContextDataset, Neighbors, has_context
from emo_fairseq.data.frames import FrameStatistics, StoredFrames
from emo_fairseq.data.inputs import (
    INPUT_KINDS,
    InputLimits,
    build_modality_dataset,
    unchanged,
)
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.types import BY_TRAIN, TEXT

Row = np.ndarray  # ids (T,), samples at 16 kHz (T,), or frames (T, C)


class TextContext(NamedTuple):
    """What is read beside the text of each row; see :class:`ContextDataset`.

    Attributes:
        neighbors: N entries, the rows around each.
        prefixes: N entries, the tokens before those of its own text.
    """

    neighbors: Sequence[Neighbors]
    prefixes: Sequence[np.ndarray]

    @classmethod
    def none(cls, n_rows: int) -> "TextContext":
        """Return that of rows of no dialogue, whose speakers are not read."""
        return cls([Neighbors([], [])] * n_rows, [NO_PREFIX] * n_rows)


class InMemoryData(InputLimits):
    """Builds modality datasets of arrays."""

    def build_dataset(
        self,
        modality: str,
        rows: Sequence[Row | None],
        vocabulary: Vocabulary | None = None,
        statistics: FrameStatistics | None = None,
        groups: RowGroups | None = None,
        context: TextContext | None = None,
    ) -> FairseqDataset:
        """Build the dataset of one modality.

        Args:
            modality: which one.
            rows: N arrays of the kind that its encoder reads, ids ending with the separator; None
                where a row lacks the modality.
            vocabulary: of the modality; needed for tokens only.
            statistics: of the train split; needed for frames only.
            groups: of rows whose frames are normalized together; None where the statistics of the
                train split normalize all.
            context: of texts, where the options join neighboring turns; None for none.
        """
        kind = self.encoders[modality].input
        n_features = 0 if statistics is None else len(statistics.mean)
        reader = _ArrayReader(self, modality, rows, n_features, context)
        normalization = None
        if statistics is not None:
            groups = groups or RowGroups(BY_TRAIN, [None] * len(rows))
            frames = INPUT_KINDS[kind].open(reader, None, unchanged)
            present = np.array([row is not None for row in rows], dtype=bool)
            normalization = groups.fit(frames, present, statistics)
        return build_modality_dataset(kind, reader, vocabulary, normalization)


class _ArrayReader:
    """Opens arrays as the rows of one modality.

    Args:
        limits: of the input.
        modality: which one.
        rows: N arrays, None where a row lacks the modality.
        n_features: C of frames.
        context: of texts; None for none.
    """

    def __init__(
        self,
        limits: InputLimits,
        modality: str,
        rows: Sequence[Row | None],
        n_features: int,
        context: TextContext | None = None,
    ) -> None:
        self.limits, self.modality = limits, modality
        self.rows, self.n_features = rows, n_features
        self.context = context or TextContext.none(len(rows))

    def tokens(self, specials: SpecialIds) -> FairseqDataset:
        present = np.array([row is not None for row in self.rows], dtype=bool)
        empty = np.array([specials.separator], dtype=np.int64)
        source = _TokenRows(empty if row is None else row for row in self.rows)
        limit = self.limits.max_tokens(self.modality)
        if self.modality != TEXT or not has_context(self.limits.cfg):
            return TokenDataset(source, source.sizes, present, specials, limit)
        pool_all = self.limits.cfg.context_pooling == "all"
        return ContextDataset(source, present, *self.context, specials, limit, pool_all)

    def waveforms(self) -> InMemoryWaveforms:
        return InMemoryWaveforms(self.rows, self.limits.max_samples())

    def log_mel(self) -> None:
        return None

    def frames(self) -> StoredFrames:
        empty = np.zeros((0, self.n_features), dtype=np.float32)
        frames = [empty if row is None else row for row in self.rows]
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in frames])])
        stored = StoredFeatures(np.concatenate([empty, *frames]), offsets.astype(np.int64))
        return StoredFrames(stored, self.limits.cfg.max_frames)


class _TokenRows(list[Tokens]):
    """Rows of ids, with ``sizes`` as fairseq's datasets have them."""

    @property
    def sizes(self) -> np.ndarray:
        return np.array([len(ids) for ids in self])
