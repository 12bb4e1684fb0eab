"""Where a stretch of speech is cut: at its least probable frames, and never within a word."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.silero import FRAME
from emo_fairseq.diarization.words import TimedWord

_SMOOTHING = 3  # frames over which the probability is averaged: a cut needs a gap, not a dip


def smoothed(probabilities: Sequence[float] | FloatArray) -> FloatArray:
    """Return the mean probability of the two frames before each cut and the frame after it.

    That is of each frame with its neighbors; at the ends the outermost one counts twice.
    """
    reach = _SMOOTHING // 2
    padded = np.pad(np.asarray(probabilities, np.float64), reach, mode="edge")
    means = np.convolve(padded, np.full(_SMOOTHING, 1 / _SMOOTHING), mode="valid")
    return np.asarray(means, np.float32)


def quietest(probabilities: Sequence[float] | FloatArray, low: int, high: int) -> int:
    """Return the frame in [low, high] before which a cut is best.

    It is the one where speech is least probable, averaged over three frames; of equal ones the
    last.

    >>> quietest([0.9, 0.9, 0.9, 0.2, 0.1, 0.2, 0.9, 0.9], 1, 6)
    4
    """
    means = smoothed(probabilities)[low : high + 1]
    return low + len(means) - 1 - int(np.argmin(means[::-1]))


class Cutter:
    """Choose the samples before which a stretch of speech is cut.

    Args:
        start: the first sample of the stretch.
        end: the sample after its last one.
        probabilities: (n_frames,) of speech in the whole recording, from its first sample.
        words: of the stretch, in order, in seconds from the start of the recording; a cut is
            between two of them, or where there is none.
    """

    def __init__(
        self, start: int, end: int, probabilities: FloatArray, words: Sequence[TimedWord] = ()
    ) -> None:
        self.start, self.end = start, end
        first = start // FRAME
        means = smoothed(probabilities[first : -(-end // FRAME)])
        frames = np.arange(first + 1, first + len(means))
        inner = frames[(frames * FRAME > start) & (frames * FRAME < end)]
        spans = [(word.start * SAMPLE_RATE, word.end * SAMPLE_RATE) for word in words]
        samples = {int(frame) * FRAME for frame in inner if not _is_within(frame * FRAME, spans)}
        for (_, before), (after, _) in itertools.pairwise(spans):
            between = round((before + after) / 2)
            if start < between < end:
                samples.add(between)
        self._samples = np.array(sorted(samples), np.int64)
        at = np.minimum(self._samples // FRAME - first, len(means) - 1)
        self._costs = means[at] if len(at) else np.zeros(0, np.float32)

    def best(self, low: int, high: int, start: int, end: int) -> int | None:
        """Return the best cut in [low, high] in samples, or else the one nearest to the middle.

        Args:
            low: the first sample before which a cut is wanted.
            high: the last one.
            start: the cut is after it.
            end: the cut is before it, or at it; None is returned if there is no such cut.
        """
        first, last = np.searchsorted(self._samples, [start + 1, end + 1])
        samples, costs = self._samples[first:last], self._costs[first:last]
        if not len(samples):
            return None
        inside = np.flatnonzero((samples >= low) & (samples <= high))
        if not len(inside):
            return int(samples[np.argmin(np.abs(samples - (low + high) / 2))])
        return int(samples[inside[len(inside) - 1 - int(np.argmin(costs[inside][::-1]))]])

    def divided(self, start: int, end: int, most: int, least: int) -> list[int]:
        """Return the cuts that divide [start, end) into parts of at most `most` samples.

        Args:
            start: of a part of the stretch.
            end: of the part.
            most: length of a part; longer only if a single word is.
            least: length of a part, at most a quarter of `most`.
        """
        cuts: list[int] = []
        while end - start > most:
            cut = self.best(
                start + most // 2, min(start + most, end - least), start + least, end - least
            )
            if cut is None:
                break
            cuts.append(cut)
            start = cut
        return cuts


def _is_within(sample: int, spans: Sequence[tuple[float, float]]) -> bool:
    """Return whether a sample is inside one of the spans, which are in order."""
    number = bisect_left(spans, (sample, -1.0)) - 1
    return number >= 0 and spans[number][0] < sample < spans[number][1]
