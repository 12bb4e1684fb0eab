"""Recordings of several speakers with known turns."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from data_prep.audio.loading import load_audio

RATE = 16_000


@pytest.fixture
def clip(real_data):
    """Speech of RAVDESS without the silence around it: (n_samples,) of an actor and a number."""
    root = real_data("ravdess")

    def load(actor: int, number: int) -> np.ndarray:
        files = sorted((root / f"Actor_{actor:02}").glob("*.flac"))
        samples = load_audio(files[number % len(files)])
        loud = np.flatnonzero(np.abs(samples) > 0.03 * np.abs(samples).max())
        return samples[loud[0] : loud[-1]] * (0.3 / np.abs(samples).max())

    return load


@pytest.fixture
def stitch(clip):
    """Stitch clips of actors with pauses: samples, and (start, end, actor) in samples."""

    def join(actors: Sequence[int], pause: float, first: int = 0):
        noise = np.random.default_rng(0)
        gap = round(pause * RATE)
        parts, turns, position = [np.zeros(gap, np.float32)], [], gap
        for actor, number in zip(actors, itertools.count(first)):
            speech = clip(actor, 7 * number)
            turns.append((position, position + len(speech), actor))
            parts += [speech, np.zeros(gap, np.float32)]
            position += len(speech) + gap
        joined = np.concatenate(parts)
        return (joined + noise.normal(scale=1e-4, size=len(joined))).astype(np.float32), turns

    return join
