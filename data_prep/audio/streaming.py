"""Read recordings of any length in constant memory: as a stream of blocks, or segment by segment.

What is refused, and the samples, are those of :mod:`data_prep.audio.loading`. A file that turns out
to be truncated is refused where it ends, after the blocks before.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import soxr

from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    AudioError,
    AudioLimits,
    Block,
    FloatArray,
    Reader,
    Source,
)
from data_prep.audio.opening import open_audio
from data_prep.audio.part import Part, blocks_of, pieces_of
from data_prep.audio.resampling import Resampler
from data_prep.manifest.records import SAMPLE_RATE

# Of a stream only the rate and the channels are limited.
UNLIMITED = AudioLimits(max_seconds=math.inf)

Segment = tuple[float, float | None, int | None]  # start, end, channel


class AudioStream:
    """An opened recording, which is iterated over once; see `stream_audio`.

    Attributes:
        channels: number of channels of a block.
        seconds: length by the header; None where it states none.
        warnings: complete after the last block.
    """

    def __init__(
        self, reader: Reader, sample_rate: int, is_mixed: bool, limits: AudioLimits
    ) -> None:
        self.channels = 1 if is_mixed else reader.channels
        frames = reader.expected_frames
        self.seconds = None if frames is None else frames / reader.rate
        self.warnings: tuple[str, ...] = ()
        self._reader = reader
        self._part = Part(reader, limits=limits)
        self._sample_rate = sample_rate
        self._is_mixed = is_mixed

    def __iter__(self) -> Iterator[Block]:
        """Yield (n_samples, channels) float32 at the target rate; no block is empty.

        Raises:
            AudioError: see `load_audio`.
        """
        resampler = None
        if self._reader.rate != self._sample_rate:
            resampler = soxr.ResampleStream(
                self._reader.rate, self._sample_rate, self.channels, dtype="float32", quality="HQ"
            )
        n_samples = 0
        for block in self._blocks():
            if resampler is not None:
                block = resampler.resample_chunk(block)
            n_samples += len(block)
            if len(block):
                yield block
        self._part.finish()
        if resampler is not None:
            block = resampler.resample_chunk(np.zeros((0, self.channels), np.float32), last=True)
            n_samples += len(block)
            if len(block):
                yield block
        self.warnings = self._part.check_length(n_samples, self._sample_rate).warnings

    def _blocks(self) -> Iterator[Block]:
        for block in blocks_of(self._reader, self._part):
            if self._is_mixed:
                yield np.ascontiguousarray(self._part.take(block)[:, None])
            else:
                self._part.check(block)
                yield block


@contextmanager
def stream_audio(
    source: Source,
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
    separate_channels: bool = False,
    limits: AudioLimits = UNLIMITED,
) -> Iterator[AudioStream]:
    """Open a recording to be read in blocks of about four seconds, resampled as one stream.

    Args:
        source: see `load_audio`.
        sample_rate: target sample rate in Hz.
        source_rate: sample rate of an array in Hz; a file states its own.
        separate_channels: keep the channels, instead of mixing them to one.
        limits: limits of rate, channels and length.

    Yields:
        The stream.

    Raises:
        AudioError: the recording cannot be opened, or exceeds the limits.

    >>> with stream_audio(np.zeros((8_000, 2), np.int16), source_rate=8_000) as stream:
    ...     stream.channels, stream.seconds, sum(map(len, stream))
    (1, 1.0, 16000)
    """
    with open_audio(source, source_rate, limits) as reader:
        yield AudioStream(reader, sample_rate, not separate_channels, limits)


def load_segments(
    source: Source,
    segments: Sequence[Segment],
    *,
    sample_rate: int = SAMPLE_RATE,
    source_rate: float | None = None,
) -> Generator[tuple[int, FloatArray | AudioError, tuple[str, ...]], None, None]:
    """Load segments of one recording, which is decoded once, in the order of their ends.

    Memory is needed for the segments that overlap at one time. Each is resampled by itself: its
    samples are those of `load_audio`.

    Args:
        source: see `load_audio`.
        segments: (start, end, channel); see `load_audio`. They may overlap.
        sample_rate: target sample rate in Hz.
        source_rate: sample rate of an array in Hz; a file states its own.

    Yields:
        The index of a segment; (n_samples,) float32, or why it cannot be loaded; its warnings.

    Raises:
        AudioError: the recording cannot be opened, or decoding fails midway.
    """
    limits = DEFAULT_LIMITS
    with open_audio(source, source_rate, limits) as reader:
        parts: dict[int, Part] = {}
        for index, (start, end, channel) in enumerate(segments):
            try:
                parts[index] = Part(reader, start, end, limits, channel)
            except AudioError as error:
                yield index, error, ()
        resamplers: dict[int, Resampler] = {}
        ended: set[int] = set()
        for index, piece in pieces_of(reader, parts):
            if isinstance(piece, AudioError):
                resamplers.pop(index, None)
                yield index, piece, ()
            elif piece is not None:
                if index not in resamplers:
                    resamplers[index] = Resampler(reader.rate, sample_rate)
                resamplers[index].add(piece)
                continue
            else:
                yield (index, *_finished(parts[index], resamplers.pop(index, None), sample_rate))
            ended.add(index)
        for index in parts.keys() - ended:  # which begin after the last frame
            yield (index, *_finished(parts[index], None, sample_rate))


def _finished(
    part: Part, resampler: Resampler | None, sample_rate: int
) -> tuple[FloatArray | AudioError, tuple[str, ...]]:
    """Return the samples of a segment and its warnings, or its error."""
    try:
        part.finish()
        assert resampler is not None  # a segment without samples is refused
        samples = resampler.finish()
        return samples, part.check_length(len(samples), sample_rate).warnings
    except AudioError as error:
        return error, ()
