"""Frames of an utterance to one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from data_prep.features.frame_files import FloatArray


def _mean(frames: FloatArray) -> FloatArray:
    return frames.mean(axis=0, keepdims=True)


def _mean_std(frames: FloatArray) -> FloatArray:
    return np.concatenate([_mean(frames), frames.std(axis=0, keepdims=True)], axis=1)


# (T, C) -> (1, C) or (1, 2 C), the standard deviation being that of the T frames, over T.
_POOLS: Mapping[str, tuple[int, Callable[[FloatArray], FloatArray]]] = {
    "mean": (1, _mean),
    "mean_std": (2, _mean_std),
}
POOLS = ("none", *_POOLS)


def pooled(frames: FloatArray, pool: str) -> FloatArray:
    """One vector of (T, C) frames, (1, C) or, by mean_std, (1, 2 C); of no frames none.

    >>> pooled(np.array([[1.0], [3.0]]), "mean_std").tolist()
    [[2.0, 1.0]]
    """
    if pool == "none":
        return frames
    times, function = _POOLS[pool]
    if len(frames) == 0:
        return np.zeros((0, times * frames.shape[1]), frames.dtype)
    return function(frames)
