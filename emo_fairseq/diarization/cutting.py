"""Where a stretch of speech that is too long is cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep.audio.decoding import FloatArray

_SMOOTHING = 3  # frames over which the probability is averaged: a cut needs a gap, not a dip


def quietest(probabilities: Sequence[float] | FloatArray, low: int, high: int) -> int:
    """Return the frame in [low, high] before which a cut is best.

    It is the one where speech is least probable, averaged over three frames; of equal ones the
    last.

    Args:
        probabilities: of speech in each frame.
        low: the first frame before which a cut may be.
        high: the last one.

    >>> quietest([0.9, 0.9, 0.9, 0.2, 0.1, 0.2, 0.9, 0.9], 1, 6)
    4
    """
    reach = _SMOOTHING // 2
    window = np.asarray(probabilities[max(0, low - reach) : high + reach + 1], dtype=np.float64)
    padded = np.pad(window, (max(0, reach - low), reach), mode="edge")
    means = np.convolve(padded, np.full(_SMOOTHING, 1 / _SMOOTHING), mode="valid")
    means = means[: high - low + 1]
    return low + len(means) - 1 - int(np.argmin(means[::-1]))


def cuts(probabilities: FloatArray, most: int, least: int) -> list[int]:
    """Return the frames before which a stretch of speech is cut, so that no piece is too long.

    Args:
        probabilities: of speech in each frame of the stretch.
        most: frames of a piece.
        least: frames of a piece, at most a quarter of `most`.
    """
    found: list[int] = []
    start = 0
    while len(probabilities) - start > most:
        high = min(start + most, len(probabilities) - least)
        found.append(quietest(probabilities, start + most // 2, high))
        start = found[-1]
    return found
