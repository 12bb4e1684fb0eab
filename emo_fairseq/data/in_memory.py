"""Rows in memory, such as those of a request, as the batches that the datasets of a split make.

Everything here is NumPy: a model that runs without torch reads its inputs by this module, too. The
modality datasets of rows on disk (:mod:`emo_fairseq.data.inputs`) share its arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_prep.audio.frames import num_frames
from data_prep.features.log_mel import frames_of
from data_prep.video.loading import PictureOptions
from emo_fairseq.data.context_rows import NO_PREFIX, ContextRows, focus_of
from emo_fairseq.data.frame_statistics import FrameStatistics, Normalizer
from emo_fairseq.data.input_limits import MIN_SAMPLES, InputLimits
from emo_fairseq.data.neighbors import Neighbors, has_context
from emo_fairseq.data.normalization import RowGroups
from emo_fairseq.data.token_rows import BOUNDARIES, check_max_tokens, with_boundaries
from emo_fairseq.data.vocabulary import Vocabulary
from emo_fairseq.modalities import LOG_MEL, PIXELS, TEXT, TOKENS, WAVEFORM
from emo_fairseq.option_values import BY_TRAIN

Row = np.ndarray  # ids (T,), samples at 16 kHz (T,), frames (T, C), or pictures (T, H, W, 3)
Collated = dict[str, np.ndarray]  # by name, such as `tokens`, `padding_mask` and `present`


class ModalityRows(Protocol):
    """N rows of one modality.

    Attributes:
        sizes: (N,) of their lengths, by which rows of similar length are put together.
    """

    sizes: np.ndarray

    def collate(self, rows: Sequence[int]) -> Collated:
        """Return the batch of some rows."""


def pad_right(items: Sequence[np.ndarray], value: float) -> tuple[np.ndarray, np.ndarray]:
    """Stack items along a new first axis, padded at the end of their own first axis.

    >>> batch, padding_mask = pad_right([np.array([5, 6]), np.array([7])], value=1)
    >>> batch.tolist(), padding_mask.tolist()
    ([[5, 6], [7, 1]], [[False, False], [False, True]])

    Args:
        items: B arrays (T_i, ...), all of one dtype and trailing shape.
        value: written where an item has ended.

    Returns:
        The batch (B, max T_i, ...), and its padding mask (B, max T_i), True = padding.
    """
    lengths = np.array([len(item) for item in items])
    shape = (len(items), int(lengths.max()), *items[0].shape[1:])
    batch = np.full(shape, value, dtype=items[0].dtype)
    for padded, item in zip(batch, items, strict=True):
        padded[: len(item)] = item
    return batch, np.arange(batch.shape[1]) >= lengths[:, None]


def collate_padded(items: Sequence[tuple[Any, ...]], name: str, padding: float = 0.0) -> Collated:
    """Return the values (B, T, ...) of items under their name, ``padding_mask`` and ``present``.

    Args:
        items: B, which begin with their values (T_i, ...) and presence.
        name: of the values in the batch.
        padding: written where an item has ended.
    """
    values, padding_mask = pad_right([item[0] for item in items], padding)
    present = np.array([item[1] for item in items], dtype=bool)
    return {name: values, "padding_mask": padding_mask, "present": present}


class TextContext(NamedTuple):
    """What is read beside the text of each row; see :class:`ContextRows`.

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
    """Builds the rows of modalities of arrays."""

    def build_rows(
        self,
        modality: str,
        rows: Sequence[Row | None],
        vocabulary: Vocabulary | None = None,
        statistics: FrameStatistics | None = None,
        groups: RowGroups | None = None,
        context: TextContext | None = None,
    ) -> ModalityRows:
        """Build the rows of one modality.

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
        if all(row is None for row in rows):
            return _MissingRows(len(rows))
        kind = self.encoders[modality].input
        if kind == TOKENS:
            assert vocabulary is not None
            limit = self.max_tokens(modality)
            if modality == TEXT and has_context(self.cfg):
                pool_all = self.cfg.context_pooling == "all"
                around = context or TextContext.none(len(rows))
                return _TurnRows(rows, vocabulary, limit, around, pool_all)
            return _TokenRows(rows, vocabulary, limit)
        if kind == WAVEFORM:
            return _WaveformRows(rows, self.max_samples())
        if kind == PIXELS:
            return _PixelRows(rows, self.picture_options(modality))
        assert statistics is not None
        frames: _RawFrames
        if kind == LOG_MEL:
            frames = _ComputedFrames(rows, self.max_samples())
        else:
            frames = _GivenFrames(rows, len(statistics.mean), self.cfg.max_frames)
        groups = groups or RowGroups(BY_TRAIN, [None] * len(rows))
        present = np.array([row is not None for row in rows], dtype=bool)
        return _FrameRows(frames, Normalizer(groups.fit(frames, present, statistics)))


class _MissingRows:
    """A modality that no row has: a batch holds ``present`` alone, and nothing is encoded."""

    def __init__(self, n_rows: int) -> None:
        self.sizes = np.ones(n_rows, dtype=np.int64)

    def collate(self, rows: Sequence[int]) -> Collated:
        return {"present": np.zeros(len(rows), dtype=bool)}


class _TokenRows:
    """Ids; a row without any is the two boundary tokens, to which no fusion attends."""

    def __init__(self, rows: Sequence[Row | None], vocabulary: Vocabulary, max_tokens: int) -> None:
        check_max_tokens(max_tokens)
        self._rows, self._specials, self._max_tokens = rows, vocabulary.specials, max_tokens
        lengths = np.array([0 if row is None else len(row) for row in rows])
        self.sizes = np.minimum(lengths + BOUNDARIES, max_tokens)

    def collate(self, rows: Sequence[int]) -> Collated:
        return collate_padded([self._item(row) for row in rows], "tokens", self._specials.pad)

    def _item(self, row: int) -> tuple[np.ndarray, bool]:
        ids = self._rows[row]
        whole = with_boundaries(() if ids is None else ids, self._specials, self._max_tokens)
        return whole, ids is not None


class _TurnRows:
    """Ids of turns among those of their neighbors."""

    def __init__(
        self,
        rows: Sequence[Row | None],
        vocabulary: Vocabulary,
        max_tokens: int,
        context: TextContext,
        pool_all: bool,
    ) -> None:
        self._specials, self._pool_all = vocabulary.specials, pool_all
        empty = np.array([self._specials.separator], dtype=np.int64)
        source = [empty if row is None else row for row in rows]
        lengths = np.array([len(row) for row in source])
        present = np.array([row is not None for row in rows], dtype=bool)
        self._turns = ContextRows(source, lengths, present, *context, self._specials, max_tokens)
        self.sizes = self._turns.sizes

    def collate(self, rows: Sequence[int]) -> Collated:
        items = [self._turns[row] for row in rows]
        batch = collate_padded(items, "tokens", self._specials.pad)
        if not self._pool_all:
            batch["focus"] = focus_of([item[2] for item in items], batch["tokens"].shape[1])
        return batch


class _WaveformRows:
    """Samples; a row without any is one window of zeros, to which no fusion attends."""

    def __init__(self, rows: Sequence[Row | None], max_samples: int) -> None:
        self._rows, self._max_samples = rows, max_samples
        self.sizes = _sample_sizes(rows, max_samples)

    def collate(self, rows: Sequence[int]) -> Collated:
        items = [_samples(self._rows[row], self._max_samples) for row in rows]
        return collate_padded(items, "waveform")


def _samples(row: Row | None, max_samples: int) -> tuple[np.ndarray, bool]:
    if row is None:
        return np.zeros(MIN_SAMPLES, dtype=np.float32), False
    return row[:max_samples], True


def _sample_sizes(rows: Sequence[Row | None], max_samples: int) -> np.ndarray:
    lengths = np.array([0 if row is None else len(row) for row in rows])
    return np.clip(lengths, MIN_SAMPLES, max_samples)


class _PixelRows:
    """Pictures (T, H, W, 3); a row without any is a black one, to which no fusion attends."""

    def __init__(self, rows: Sequence[Row | None], options: PictureOptions) -> None:
        size = options.size
        self._rows = rows
        self._none = np.zeros((1, size.height, size.width, 3), dtype=np.uint8)
        self.sizes = np.array([1 if row is None else len(row) for row in rows])

    def collate(self, rows: Sequence[int]) -> Collated:
        given = [self._rows[row] for row in rows]
        items = [(self._none, False) if row is None else (row, True) for row in given]
        return collate_padded(items, "pixels", 0)


class _RawFrames:
    """Frames that are not normalized; see :class:`emo_fairseq.data.frame_statistics.Frames`."""

    def __init__(self, sizes: np.ndarray, read: Callable[[int], tuple[np.ndarray, bool]]) -> None:
        self.sizes = sizes
        self._read = read

    def __getitem__(self, index: int) -> tuple[np.ndarray, bool]:
        return self._read(int(index))

    def __len__(self) -> int:
        return len(self.sizes)


class _ComputedFrames(_RawFrames):
    """Log-mel frames of samples."""

    def __init__(self, rows: Sequence[Row | None], max_samples: int) -> None:
        def read(index: int) -> tuple[np.ndarray, bool]:
            samples, present = _samples(rows[index], max_samples)
            return frames_of(samples), present

        sizes = [num_frames(int(size)) for size in _sample_sizes(rows, max_samples)]
        super().__init__(np.array(sizes), read)


class _GivenFrames(_RawFrames):
    """Extracted features; a row without any is one frame of zeros."""

    def __init__(self, rows: Sequence[Row | None], n_features: int, max_frames: int | None) -> None:
        def read(index: int) -> tuple[np.ndarray, bool]:
            frames = rows[index]
            if frames is None or len(frames) == 0:
                return np.zeros((1, n_features), dtype=np.float32), False
            return frames[:max_frames].astype(np.float32), True

        lengths = np.array([0 if row is None else len(row) for row in rows])
        super().__init__(np.clip(lengths, 1, max_frames), read)


class _FrameRows:
    """Normalized frames."""

    def __init__(self, frames: _RawFrames, normalizer: Normalizer) -> None:
        self._frames, self._normalizer = frames, normalizer
        self.sizes = frames.sizes

    def collate(self, rows: Sequence[int]) -> Collated:
        return collate_padded([self._item(row) for row in rows], "frames")

    def _item(self, row: int) -> tuple[np.ndarray, bool]:
        frames, present = self._frames[row]
        return self._normalizer.normalize(row, frames), present
