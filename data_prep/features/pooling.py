"""Pool the frames of a row over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from data_prep.features.frame_files import FloatArray


def _mean(frames: FloatArray) -> FloatArray:
    return frames.mean(axis=0, keepdims=True)


def _mean_std(frames: FloatArray) -> FloatArray:
    return np.concatenate([_mean(frames), frames.std(axis=0, keepdims=True)], axis=-1)


# (T, ..., C) -> (1, ..., C) or (1, ..., 2 C), the standard deviation being over T.
_POOLS: Mapping[str, tuple[int, Callable[[FloatArray], FloatArray]]] = {
    "mean": (1, _mean),
    "mean_std": (2, _mean_std),
}
POOLS = ("none", *_POOLS)


def pooled(frames: FloatArray, pool: str, n_layers: int = 1) -> FloatArray:
    """Pool frames (T, C) to one vector, (1, C) or (1, 2 C) for mean_std; (0, ...) without frames.

    Args:
        frames: of one utterance.
        pool: one of :data:`POOLS`.
        n_layers: layers side by side in C, each of which is pooled by itself.

    >>> pooled(np.array([[1.0], [3.0]]), "mean_std").tolist()
    [[2.0, 1.0]]
    >>> pooled(np.array([[1.0, 5.0], [3.0, 5.0]]), "mean_std", n_layers=2).tolist()
    [[2.0, 1.0, 5.0, 0.0]]
    """
    if pool == "none":
        return frames
    times, function = _POOLS[pool]
    if len(frames) == 0:
        return np.zeros((0, times * frames.shape[1]), frames.dtype)
    return function(frames.reshape(len(frames), n_layers, -1)).reshape(1, -1)
