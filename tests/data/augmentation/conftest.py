"""Leaves to change: a few tones, frames and texts, each with a row that is absent."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.frames import FrameStatistics, NormalizedFrames
from emo_fairseq.data.tokens import TokenDataset

N_ROWS = 6  # of which the last one is absent


@pytest.fixture
def tones(tmp_path: Path) -> Callable[..., WaveformDataset]:
    """Sines of 500 Hz with a pause, the row's number their length in tenths of a second, plus 1."""

    def make(max_seconds: float = 20.0) -> WaveformDataset:
        paths: list[Path | None] = []
        for row in range(N_ROWS - 1):
            time = np.arange((row + 1) * SAMPLE_RATE // 10) / SAMPLE_RATE
            samples = 0.3 * np.sin(2 * np.pi * 500 * time)
            samples[: len(samples) // 4] = 0
            paths.append(tmp_path / f"{row}.wav")
            soundfile.write(paths[-1], samples, SAMPLE_RATE, subtype="FLOAT")
        lengths = np.array([(row + 1) * SAMPLE_RATE // 10 for row in range(N_ROWS - 1)] + [0])
        limit = round(max_seconds * SAMPLE_RATE)
        return WaveformDataset([*paths, None], lengths, limit, list("abcdef"))

    return make


@pytest.fixture
def frames() -> Callable[..., NormalizedFrames]:
    """Frames (T, C) of numbers none of which is 0, of the given lengths; absent where it is 0."""

    def make(*lengths: int, n_features: int = 20) -> NormalizedFrames:
        generator = torch.Generator().manual_seed(0)
        items: list[Any] = []
        for length in lengths or (40, 60, 80, 100, 120, 0):
            numbers = torch.randn(max(length, 1), n_features, generator=generator)
            items.append((numbers.sign() + numbers, length > 0))
        return NormalizedFrames(items, FrameStatistics([0.0] * n_features, [1.0] * n_features))

    return make


@pytest.fixture
def texts() -> Callable[..., TokenDataset]:
    """Texts of 20 to 60 words, all different, or those that are given; the last one is absent."""

    def make(*rows: list[int]) -> TokenDataset:
        given = rows or tuple(list(range(10, 30 + 10 * row)) for row in range(N_ROWS))
        source = [np.array(row, dtype=np.int64) for row in given]
        present = np.arange(len(given)) < (len(given) if rows else N_ROWS - 1)
        return TokenDataset(source, np.array([len(r) for r in given]), present, SpecialIds(), 10**6)

    return make
