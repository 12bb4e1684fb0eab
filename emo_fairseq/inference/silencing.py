"""Where moments of a sound begin and end, and the sound without one of them."""

import math

import numpy as np

from data_prep.audio.frames import FloatArray
from data_prep.schema import SAMPLE_RATE

MAX_MOMENTS = 60
_SHORTEST, _LONGEST = 0.25, 0.5  # seconds of a moment
_MOMENTS_WANTED = 32  # a short sound is cut more finely, until a moment has the shortest length
_FADE = SAMPLE_RATE // 100  # 10 ms: a step to silence would be heard as a click


def moment_edges(n_samples: int) -> list[int]:
    """Where moments of equal length begin, and where the last one ends, in samples at 16 kHz.

    >>> moment_edges(16000)
    [0, 4000, 8000, 12000, 16000]
    >>> len(moment_edges(16000 * 60)) - 1, moment_edges(16000 * 60)[-1] / 16000
    (60, 30.0)
    """
    covered = min(n_samples, round(MAX_MOMENTS * _LONGEST * SAMPLE_RATE))
    seconds = covered / SAMPLE_RATE
    length = min(max(seconds / _MOMENTS_WANTED, _SHORTEST), _LONGEST)
    n_moments = max(1, math.floor(seconds / length), math.ceil(seconds / _LONGEST))
    return [round(covered * i / n_moments) for i in range(n_moments + 1)]


def silenced(sound: FloatArray, start: int, end: int) -> FloatArray:
    """A copy (T,) with the samples from `start` to `end` at zero, faded out before, in after."""
    fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_FADE) + 1) / (_FADE + 1))  # rising
    gain = np.ones(len(sound), dtype=np.float32)
    gain[start:end] = 0.0
    before, after = gain[max(0, start - _FADE) : start], gain[end : end + _FADE]
    before[:] = fade[: len(before)][::-1]
    after[:] = fade[: len(after)]
    return sound * gain
