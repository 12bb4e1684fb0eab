"""A segment of a recording that is decoded in blocks: its bounds, and checks of its samples."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np

from data_prep.audio.decoding import (
    DEFAULT_LIMITS,
    AudioError,
    AudioLimits,
    Block,
    FloatArray,
    Reader,
)
from data_prep.audio.resampling import resampled_length

WINDOW_MS = 25  # one analysis window: Kaldi's frames, wav2vec 2.0's receptive field
SILENCE = "digital silence: every sample is 0"
SLACK_SECONDS = 0.02  # a segment may end this much after the recording
_LOUDEST = 4.0  # of floating samples; resampling and mixing overshoot 1, but by less
_ANTIPHASE_DB = -60.0  # level of the mono mix over that of the channels
BLOCK = 1 << 16  # frames decoded at a time

Key = TypeVar("Key", bound=Hashable)


class Measured(NamedTuple):
    """Number of samples per channel at the target rate, and warnings."""

    n_samples: int
    warnings: tuple[str, ...] = ()


class Part:
    """A segment of an opened recording: its bounds in frames, and statistics of its samples.

    Args:
        reader: at any frame.
        start: in seconds.
        end: in seconds; None = end of the recording.
        limits: of the length of the segment.
        channel: its number, from 1; None = all of them, mixed to mono by `take`.

    Attributes:
        first: its first frame.
        last: the frame after its last one; None if the header does not state it.
        n_frames: number of frames that were taken.

    Raises:
        AudioError: the recording has no such segment or channel, or the segment is too long.
    """

    def __init__(
        self,
        reader: Reader,
        start: float = 0.0,
        end: float | None = None,
        limits: AudioLimits = DEFAULT_LIMITS,
        channel: int | None = None,
    ) -> None:
        self._reader = reader
        self._limits = limits
        self._channel = _index_of(channel, reader.channels)
        self._span = (start, end)
        self.first, self.last = self._bounds(start, end)
        self.n_frames = 0
        self._is_silent = True
        self._peak = 0.0
        self._power = self._mono_power = 0.0
        last = reader.expected_frames if self.last is None else self.last
        if last is not None:
            limits.check_length(last - self.first, reader.rate)

    def _bounds(self, start: float, end: float | None) -> tuple[int, int | None]:
        """Return the first frame, and that after the last; None if the header does not state it."""
        rate, frames = self._reader.rate, self._reader.frames
        is_ordered = math.isfinite(start) and 0 <= start < (math.inf if end is None else end)
        if not is_ordered or (end is not None and not math.isfinite(end)):
            raise AudioError(self._outside(None), "segment-outside")
        first = round(start * rate)
        last = frames if end is None else round(end * rate)
        if frames is not None and (start or end is not None):
            if first >= frames or (last or 0) > frames + SLACK_SECONDS * rate:
                raise AudioError(self._outside(frames), "segment-outside")
            last = min(last or frames, frames)
        return first, last

    def _outside(self, frames: int | None) -> str:
        start, end = self._span
        until = "its end" if end is None else f"{end:g} s"
        if frames is None:
            return f"no segment is from {start:g} s to {until}; give 0 <= start < end in seconds"
        seconds = frames / self._reader.rate
        return f"the segment from {start:g} s to {until} is not in its {seconds:g} s"

    def check(self, block: Block) -> None:
        """Check a block (frames, channels) of the segment. Raises AudioError."""
        self.n_frames += len(block)
        if self.last is None:
            self._limits.check_length(self.n_frames, self._reader.rate)
        if not self._reader.is_checked:
            self._check_values(block)
        # A few samples usually suffice to detect sound.
        self._is_silent = self._is_silent and not (block[::509].any() or block.any())

    def take(self, block: Block) -> FloatArray:
        """Check a block of the segment, and return its channel, or all of them mixed to mono."""
        if self._channel is not None:
            block = block[:, self._channel : self._channel + 1]
            self.check(block)
            return block[:, 0]
        self.check(block)
        mono = self._reader.mix(block)
        if block.shape[1] > 1 and self._peak <= _LOUDEST:
            samples = block.ravel()
            self._power += float(np.dot(samples, samples)) / block.shape[1]
            self._mono_power += float(np.dot(mono, mono))
        return mono

    def _check_values(self, block: Block) -> None:
        low, high = float(block.min()), float(block.max())  # NaN if a sample is NaN
        if not (math.isfinite(low) and math.isfinite(high)):
            raise AudioError("holds samples that are NaN or infinite", "audio-not-finite")
        self._peak = max(self._peak, -low, high)

    def finish(self) -> None:
        """Raise AudioError if fewer samples were decoded than the segment should have."""
        frames, end = self._reader.frames, self._span[1]
        if self.last is None:
            if not self.n_frames and self.first:
                raise AudioError(
                    f"ends before {self._span[0]:g} s, where the segment begins", "segment-outside"
                )
        elif self.n_frames < self.last - self.first:
            decoded = self.first + self.n_frames
            if frames is not None:
                raise AudioError(
                    f"truncated: {decoded} of {frames} samples decode", "audio-truncated"
                )
            missing = self.last - decoded
            if end is not None and missing > SLACK_SECONDS * self._reader.rate:
                raise AudioError(self._outside(decoded), "segment-outside")
        if not self.n_frames:
            raise AudioError("holds no sound (0 samples)", "audio-empty")

    def measured(self, sample_rate: int) -> Measured:
        """Return the length at `sample_rate` of a completed segment. Raises AudioError."""
        self.finish()
        n_samples = resampled_length(self.n_frames, self._reader.rate, sample_rate)
        return self.check_length(n_samples, sample_rate)

    def check_length(self, n_samples: int, sample_rate: float) -> Measured:
        """Return the length at `sample_rate`, with warnings. Raises AudioError if too short."""
        if self._peak > _LOUDEST:
            raise AudioError(
                f"floating-point samples of up to {self._peak:g}, where full scale is 1; divide "
                "them by the full scale of their integers (32768 of 16 bits), or give int16",
                "audio-out-of-scale",
            )
        if n_samples < sample_rate * WINDOW_MS / 1000:
            raise AudioError(
                f"{1000 * n_samples / sample_rate:.3g} ms of sound are less than one window of "
                f"{WINDOW_MS} ms",
                "audio-too-short",
            )
        warnings = list(self._reader.warnings)
        if self._is_silent:
            warnings.append(SILENCE)
        elif self._channel is None and self._mono_power < 10 ** (_ANTIPHASE_DB / 10) * self._power:
            warnings.append(
                "channels in antiphase: their mean is silent; give one of them, or invert one"
            )
        return Measured(n_samples, tuple(warnings))


def blocks_of(reader: Reader, part: Part) -> Iterator[Block]:
    """Yield the blocks of a segment from a reader at its first frame."""
    position = part.first
    while part.last is None or position < part.last:
        n_frames = BLOCK if part.last is None else min(BLOCK, part.last - position)
        block = reader.read(n_frames)
        if not len(block):
            return
        position += len(block)
        yield block


def pieces_of(
    reader: Reader, parts: Mapping[Key, Part]
) -> Iterator[tuple[Key, FloatArray | AudioError | None]]:
    """Decode the segments of a recording in one pass; they may overlap.

    Yields:
        The key of a segment with its next mono samples, with None at its end, or with the error
        that ended it. Segments that the recording does not reach, are not yielded.
    """
    waiting = sorted(parts, key=lambda key: parts[key].first)
    active: list[Key] = []
    position = 0
    while waiting or active:
        if not active:
            reader.skip(parts[waiting[0]].first - position)
            position = parts[waiting[0]].first
        while waiting and parts[waiting[0]].first == position:
            active.append(waiting.pop(0))
        borders = [position + BLOCK] + [parts[key].first for key in waiting[:1]]
        borders += [last for key in active if (last := parts[key].last) is not None]
        block = reader.read(min(borders) - position)
        position += len(block)
        ended = []
        for key in active:
            piece = _taken(parts[key], block)
            yield key, piece
            is_last = not len(block) or parts[key].last == position
            if is_last and not isinstance(piece, AudioError) and piece is not None:
                yield key, None
            if is_last or isinstance(piece, AudioError):
                ended.append(key)
        active = [key for key in active if key not in ended]
        if not len(block):
            return


def _taken(part: Part, block: Block) -> FloatArray | AudioError | None:
    """Return the samples of a block, None of an empty one, or the error of a check."""
    if not len(block):
        return None
    try:
        return part.take(block)
    except AudioError as error:
        return error


def _index_of(channel: int | None, n_channels: int) -> int | None:
    """Return the index of a channel that is numbered from 1. Raises AudioError."""
    if channel is not None and not 1 <= channel <= n_channels:
        described = "1 channel" if n_channels == 1 else f"channels 1 to {n_channels}"
        raise AudioError(f"has no channel {channel}: it has {described}", "audio-channel-missing")
    return None if channel is None else channel - 1
