"""Speech of a channel that is another channel's voice: the echo of a call.

A frame is an echo if the other channel was much louder over the last third of a second, and if the
levels of both rise and fall together over its run of such frames. So a quiet speaker who speaks at
the same time as a loud one is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data_prep.audio.decoding import FloatArray
from emo_fairseq.diarization.activity import Activity
from emo_fairseq.diarization.options import TurnOptions

LOUDER_DB = 9.0  # of the other channel over an echo
CORRELATION = 0.7  # of the levels in dB of an echo and its source
_ALIKE = 0.98  # correlation of the levels of a recording that is no call of two channels
_APART = 0.5  # correlation below which channels may be of two speakers
_DELAYS = 11  # frames of 32 ms, from none
_SMOOTHING = 5  # frames
_SILENCE = 1e-10  # power that is added, so that silence has a level: -100 dB
_BRIDGED = 4  # frames between two runs that are judged together
_SHORTEST = 4  # frames whose correlation means something


def are_alike(channels: Sequence[Activity]) -> bool:
    """Return whether all channels rise and fall with the first one, at their own levels.

    >>> powers = np.array([0.1, 0.0, 0.01, 0.1], np.float32)
    >>> channels = [Activity(np.ones(4, np.float32), gain * powers) for gain in (1, 0.5)]
    >>> are_alike(channels)
    True
    """
    first, *others = (10 * np.log10(channel.powers + _SILENCE) for channel in channels)
    return all(
        min(first.std(), other.std()) > 0 and np.corrcoef(first, other)[0, 1] > _ALIKE
        for other in others
    )


def are_apart(channels: Sequence[Activity]) -> bool:
    """Return whether two channels hardly rise and fall together, as those of a call.

    >>> powers = np.array([0.1, 1e-6, 0.01, 0.1], np.float32)
    >>> turns = [Activity(np.ones(4, np.float32), x) for x in (powers, powers[::-1])]
    >>> are_apart(turns), are_apart([turns[0], turns[0]])
    (True, False)
    """
    first, second = (10 * np.log10(channel.powers + _SILENCE) for channel in channels)
    if not min(first.std(), second.std()) > 0:
        return False
    return bool(np.corrcoef(first, second)[0, 1] < _APART)


def echoes(channels: Sequence[Activity], options: TurnOptions) -> list[npt.NDArray[np.bool_]]:
    """Return the frames of each channel that hold the voice of another channel.

    Returns:
        (n_frames,) of each channel.
    """
    levels = [10 * np.log10(channel.powers + _SILENCE) for channel in channels]
    recent = [_recent_max(_moving_mean(channel.powers)) for channel in channels]
    masks = []
    for index, channel in enumerate(channels):
        others = [other for other in range(len(channels)) if other != index]
        loudest = np.max([recent[other] for other in others], axis=0)
        may_be_speech = channel.probabilities >= options.low_threshold
        is_quiet = may_be_speech & (recent[index] < loudest - LOUDER_DB)
        mask = np.zeros(len(is_quiet), bool)
        for start, end in _runs(is_quiet):
            if any(_is_echo(levels[index], levels[other], start, end) for other in others):
                mask[start:end] = True
        masks.append(mask)
    return masks


def _moving_mean(powers: FloatArray) -> npt.NDArray[np.float64]:
    """Return the mean of each frame and its neighbors."""
    kernel = np.full(_SMOOTHING, 1 / _SMOOTHING)
    padded = np.pad(powers.astype(np.float64), _SMOOTHING // 2, mode="edge")
    return np.convolve(padded, kernel, mode="valid")


def _recent_max(powers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the highest level in dB of each frame and those before it, as far as echoes are late.

    Compared with that of another channel, it is no lower in the dips of the same voice.
    """
    levels = 10 * np.log10(powers + _SILENCE)
    padded = np.pad(levels, (_DELAYS - 1, 0), constant_values=levels.min())
    return np.lib.stride_tricks.sliding_window_view(padded, _DELAYS).max(axis=1)


def _runs(mask: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return (start, end) of runs of true frames, with short gaps between them closed."""
    frames = np.flatnonzero(mask)
    if not len(frames):
        return []
    breaks = np.flatnonzero(np.diff(frames) > _BRIDGED)
    starts = frames[np.concatenate([[0], breaks + 1])]
    ends = frames[np.concatenate([breaks, [len(frames) - 1]])] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _is_echo(
    own: npt.NDArray[np.float64], other: npt.NDArray[np.float64], start: int, end: int
) -> bool:
    """Return whether the levels of a run are those of the other channel, at some delay."""
    best = -1.0
    for delay in range(_DELAYS):
        first = max(start, delay)
        pair = own[first:end], other[first - delay : end - delay]
        if end - first >= _SHORTEST and min(part.std() for part in pair) > 0:
            best = max(best, float(np.corrcoef(*pair)[0, 1]))
    return best >= CORRELATION
