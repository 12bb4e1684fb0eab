"""Who speaks in which window: clusters of the embeddings of voices.

The mean of all windows of the recording is subtracted first, since embeddings of all voices share
most of it. The windows are clustered by Ward's method; then each is given to the nearest mean of a
cluster, with a cost for each change within a stretch of speech.

The number of speakers is estimated by two thresholds, both chosen on recordings that were stitched
from the actors 1 to 12 of RAVDESS: the mean of unit vectors is long if they are of one voice, and
the last merges of Ward's method are high if they join two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.speaker_encoder import HOP, WINDOW_FRAMES, load_encoder
from emo_fairseq.diarization.voice_activity import Stretch

ONE_VOICE = 0.785  # length of the mean of the unit embeddings
# Of Ward's method, over the root of the number of windows; higher if there are few of these.
MERGE_HEIGHT = 0.29
_MERGE_HEIGHT_OF_FEW = 1.0
_MOST_ESTIMATED = 8
_STEP = 40  # mel frames between two windows: 0.4 s
_CHANGE_COST = 0.2  # in cosines, of another speaker than in the window before
_CLUSTERED = 2000  # windows at most, so that their distances take 16 MB
_REFINEMENTS = 3


@dataclass(frozen=True)
class Voice:
    """The windows of a stretch of speech.

    Attributes:
        centers: (n_windows,) in samples of the recording.
        embeddings: (n_windows, 256) of length 1, in half precision to save memory.
    """

    centers: FloatArray
    embeddings: np.ndarray


def embed_stretch(stretch: Stretch, samples: FloatArray) -> Voice:
    """Embed windows of 1.6 s every 0.4 s of a stretch; one window if it is shorter.

    Args:
        stretch: its place in the recording.
        samples: (n_samples,) of the stretch, at 16 kHz.

    Raises:
        UsageError: the weights of the encoder are not installed.
    """
    n_frames = 1 + len(samples) // HOP
    length = min(n_frames, WINDOW_FRAMES)
    starts = list(range(0, n_frames - length + 1, _STEP))
    if starts[-1] != n_frames - length:
        starts.append(n_frames - length)
    embeddings = load_encoder().embed(samples, starts, length)
    centers = stretch.start + HOP * (np.array(starts, np.float32) + length / 2)
    return Voice(centers, embeddings.astype(np.float16))


def label_windows(voices: Sequence[Voice], number: int | None) -> list[list[int]]:
    """Return the speaker of each window of each stretch, numbered by first appearance from 0.

    Args:
        voices: of each stretch, in order of time.
        number: of speakers, if there are so many windows; None: estimated, eight at most.
    """
    embeddings = np.concatenate([voice.embeddings for voice in voices]).astype(np.float32)
    mean = embeddings.mean(axis=0)
    is_one = number is None and float(np.linalg.norm(mean)) >= ONE_VOICE
    if is_one or number == 1 or len(embeddings) == 1:
        return [[0] * len(voice.centers) for voice in voices]
    centered = _unit(embeddings - mean)
    centroids = _centroids(centered, number)
    names: dict[int, int] = {}
    labels = []
    for voice in voices:
        scores = _unit(voice.embeddings.astype(np.float32) - mean) @ centroids.T
        path = smooth_path(scores, _CHANGE_COST)
        labels.append([names.setdefault(label, len(names)) for label in path])
    return labels


def _centroids(centered: FloatArray, number: int | None) -> FloatArray:
    """Return unit means (n_speakers, 256) of clusters of unit embeddings (n_windows, 256)."""
    step = -(-len(centered) // _CLUSTERED)
    chosen = centered[::step]
    number = estimate_number(chosen) if number is None else min(number, len(chosen))
    clusters = AgglomerativeClustering(number, linkage="ward").fit_predict(chosen)
    means = np.stack([chosen[clusters == cluster].mean(axis=0) for cluster in range(number)])
    for _ in range(_REFINEMENTS):
        nearest = (centered @ _unit(means).T).argmax(axis=1)
        for cluster in set(nearest.tolist()):
            means[cluster] = centered[nearest == cluster].mean(axis=0)
    return _unit(means)


def estimate_number(centered: FloatArray) -> int:
    """Return the number of speakers, from 2 to 8, of centered unit embeddings (n_windows, 256)."""
    tree = AgglomerativeClustering(
        None, linkage="ward", distance_threshold=0.0, compute_distances=True
    ).fit(centered)
    root = np.sqrt(len(centered))
    threshold = MERGE_HEIGHT + _MERGE_HEIGHT_OF_FEW / root
    number = 1 + int((tree.distances_ / root > threshold).sum())
    return min(max(number, 2), _MOST_ESTIMATED, len(centered))


def smooth_path(scores: FloatArray, change_cost: float) -> list[int]:
    """Return the labels with the highest sum of scores, less the cost of each change (Viterbi).

    Args:
        scores: (n_windows, n_labels).
        change_cost: of a label that is not that of the window before.

    >>> smooth_path(np.array([[1.0, 0.0], [0.4, 0.5], [1.0, 0.0]]), change_cost=0.2)
    [0, 0, 0]
    """
    best = scores[0].copy()
    sources = []
    for row in scores[1:]:
        leader = int(best.argmax())
        stays = best >= best[leader] - change_cost
        sources.append(np.where(stays, np.arange(len(best)), leader))
        best = np.maximum(best, best[leader] - change_cost) + row
    path = [int(best.argmax())]
    for source in reversed(sources):
        path.append(int(source[path[-1]]))
    return path[::-1]


def changes(voice: Voice, labels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Return (earliest sample, latest sample, label after it) of each change in a stretch."""
    reach = round(0.2 * SAMPLE_RATE)
    intervals = []
    for index in range(1, len(labels)):
        if labels[index] != labels[index - 1]:
            low, high = voice.centers[index - 1], voice.centers[index]
            intervals.append((int(low) - reach, int(high) + reach, labels[index]))
    return intervals


def _unit(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)
