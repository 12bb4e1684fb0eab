"""Load many segments, of which those of one compressed recording come from one pass through it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from data_prep.audio.decoding import AudioError, FloatArray
from data_prep.audio.loading import load_with_warnings
from data_prep.audio.opening import is_sequential
from data_prep.audio.segment import AudioSegment
from data_prep.audio.streaming import load_segments

Loaded = tuple[FloatArray, tuple[str, ...]]  # samples and warnings, as of `load_with_warnings`


class SegmentReader:
    """Loads segments as `load_with_warnings` does, in the order in which they were given.

    To read a segment of an m4a or mp4 file, all before it is decoded, which would take a time
    quadratic in the number of segments. Their recording is decoded once here, if the segments are
    given in the order of their ends. Others are read by seeking.

    Args:
        segments: that will be loaded; some may be left out.
    """

    def __init__(self, segments: Iterable[AudioSegment]) -> None:
        of_file: dict[Path, list[AudioSegment]] = {}
        for segment in segments:
            of_file.setdefault(segment.path, []).append(segment)
        self._several = {
            path: parts for path, parts in of_file.items() if len(parts) > 1 and _are_ordered(parts)
        }
        self._passes: dict[Path, _Pass] = {}

    def load(self, segment: AudioSegment) -> Loaded:
        """Return (n_samples,) mono float32 samples at 16 kHz, and warnings.

        Raises:
            AudioError: see `load_with_warnings`.
        """
        parts = self._several.pop(segment.path, None)
        if parts is not None and is_sequential(segment.path):
            self._passes[segment.path] = _Pass(parts)
        one_pass = self._passes.get(segment.path)
        loaded = None if one_pass is None else one_pass.take(segment)
        if loaded is None:
            return load_with_warnings(
                segment.path, start=segment.start, end=segment.end, channel=segment.channel
            )
        samples, warnings = loaded
        if isinstance(samples, AudioError):
            raise samples
        return samples, warnings

    def close(self) -> None:
        """Close the recordings."""
        for one_pass in self._passes.values():
            one_pass.close()


def _are_ordered(parts: Sequence[AudioSegment]) -> bool:
    ends = [math.inf if part.end is None else part.end for part in parts]
    return all(end <= other for end, other in pairwise(ends))


class _Pass:
    """One pass through a recording."""

    def __init__(self, parts: Sequence[AudioSegment]) -> None:
        self._parts = parts
        self._next = 0  # no segment before it will be taken
        self._loaded: dict[int, tuple[FloatArray | AudioError, tuple[str, ...]]] = {}
        segments = [(part.start, part.end, part.channel) for part in parts]
        self._decoding = load_segments(parts[0].path, segments)

    def take(self, part: AudioSegment) -> tuple[FloatArray | AudioError, tuple[str, ...]] | None:
        """Return a segment that is loaded; None if the pass cannot, or is beyond it."""
        try:
            number = self._parts.index(part, self._next)
        except ValueError:
            return None
        self._next = number + 1
        while number not in self._loaded:
            try:
                other, samples, warnings = next(self._decoding)
            except (AudioError, StopIteration):  # an error of the file, which each segment has
                return None
            if other >= number:
                self._loaded[other] = samples, warnings
        self._loaded = {other: x for other, x in self._loaded.items() if other >= number}
        return self._loaded.pop(number)

    def close(self) -> None:
        self._decoding.close()
