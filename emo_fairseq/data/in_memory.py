"""Rows that lie in memory and not in a data dir, through the same leaves."""

from collections.abc import Sequence

import numpy as np
from fairseq.data import FairseqDataset

from data_prep.audio.frames import FloatArray
from data_prep.features.stored import StoredFeatures
from data_prep.tokens.folder import SpecialIds, Tokens
from emo_fairseq.data.audio import ComputedFrames, WaveformDataset
from emo_fairseq.data.dialogue import (
    NO_PREFIX,
    ContextDataset,
    Neighbors,
)
from emo_fairseq.data.frames import FrameStatistics, NormalizedFrames, StoredFrames
from emo_fairseq.data.inputs import InputLimits
from emo_fairseq.data.tokens import TokenDataset
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.types import (
    FRAMES,
    TEXT,
    TOKENS,
    WAVEFORM,
)

Content = np.ndarray  # ids (T,), samples at 16 kHz (T,), or frames (T, C)


class HeardWaveforms(WaveformDataset):
    """Waveforms that are samples already.

    Args:
        sounds: N arrays (T,) of mono samples at 16 kHz, None where a row has none.
        max_samples: the end of a longer one is cut.
    """

    def __init__(self, sounds: Sequence[FloatArray | None], max_samples: int) -> None:
        n_samples = np.array([0 if sound is None else len(sound) for sound in sounds])
        super().__init__([None] * len(sounds), n_samples, max_samples, [""] * len(sounds))
        self._sounds = sounds

    def _read(self, index: int) -> FloatArray | None:
        return self._sounds[index]


class _TokenRows(list[Tokens]):
    """Rows of ids, with their lengths as a dataset of fairseq's has them."""

    @property
    def sizes(self) -> np.ndarray:
        return np.array([len(ids) for ids in self])


class InMemoryData(InputLimits):
    """Makes leaves of rows in memory, as :class:`emo_fairseq.data.data_dir.DataDir` of a split."""

    def leaf(
        self,
        modality: str,
        rows: Sequence[Content | None],
        vocabulary: Vocabulary | None = None,
        statistics: FrameStatistics | None = None,
    ) -> FairseqDataset:
        """The dataset of one modality.

        Args:
            modality: which one.
            rows: N contents of the kind that its encoder reads, ids ending with the separator;
                None where a row lacks the modality.
            vocabulary: of the modality; needed for tokens only.
            statistics: of the train split; needed for frames only.
        """
        kind = self.cards[modality].input
        if kind == TOKENS:
            if vocabulary is None:
                raise ValueError("token input needs its vocabulary")
            return self._tokens(modality, rows, vocabulary.specials)
        if kind == WAVEFORM:
            return HeardWaveforms(rows, self.max_samples())
        if statistics is None:
            raise ValueError("frames need the statistics of the train split")
        if kind == FRAMES:
            stored = _stored(rows, len(statistics.mean))
            frames: FairseqDataset = StoredFrames(stored, self.cfg.max_frames)
        else:
            frames = ComputedFrames(HeardWaveforms(rows, self.max_samples()))
        return NormalizedFrames(frames, statistics)

    def limit(self, modality: str) -> int | None:
        """Beyond how many ids, samples or frames a content is cut; None = never."""
        kind = self.cards[modality].input
        if kind == TOKENS:
            return self.max_tokens(modality) - 1  # contents have no initial token yet
        if kind == FRAMES:
            found: int | None = self.cfg.max_frames
            return found
        return self.max_samples()

    def _tokens(
        self, modality: str, rows: Sequence[Content | None], specials: SpecialIds
    ) -> FairseqDataset:
        present = np.array([row is not None for row in rows], dtype=bool)
        nothing = np.array([specials.separator], dtype=np.int64)
        source = _TokenRows(nothing if row is None else row for row in rows)
        limit = self.max_tokens(modality)
        if modality == TEXT and (self.cfg.context_past or self.cfg.context_future):
            alone: list[Neighbors] = [Neighbors([], [])] * len(rows)
            pool_all = self.cfg.context_pooling == "all"
            prefixes = [NO_PREFIX] * len(rows)
            return ContextDataset(source, present, alone, prefixes, specials, limit, pool_all)
        return TokenDataset(source, source.sizes, present, specials, limit)


def _stored(rows: Sequence[Content | None], width: int) -> StoredFeatures:
    none = np.zeros((0, width), dtype=np.float32)
    frames = [none if row is None else row for row in rows]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in frames])])
    return StoredFeatures(np.concatenate([none, *frames]), offsets.astype(np.int64))
