"""Inputs to augment: a few tones, frames and texts, each with a row that is absent."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from data_prep.schema import SAMPLE_RATE
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.audio import WaveformDataset
from emo_fairseq.data.frame_statistics import FrameStatistics, Normalization
from emo_fairseq.data.frames import NormalizedFrames
from emo_fairseq.data.tokens import TokenDataset

N_ROWS = 6  # of which the last one is absent


def make_tones(folder: Path, max_seconds: float = 20.0) -> WaveformDataset:
    """Write sines of 500 Hz with a pause; row n is (n + 1) tenths of a second long."""
    paths: list[Path | None] = []
    for row in range(N_ROWS - 1):
        time = np.arange((row + 1) * SAMPLE_RATE // 10) / SAMPLE_RATE
        samples = 0.3 * np.sin(2 * np.pi * 500 * time)
        samples[: len(samples) // 4] = 0
        paths.append(folder / f"{row}.wav")
        soundfile.write(paths[-1], samples, SAMPLE_RATE, subtype="FLOAT")
    lengths = np.array([(row + 1) * SAMPLE_RATE // 10 for row in range(N_ROWS - 1)] + [0])
    limit = round(max_seconds * SAMPLE_RATE)
    return WaveformDataset([*paths, None], lengths, limit, list("abcdef"))


def make_frames(*lengths: int, n_features: int = 20) -> NormalizedFrames:
    """Return frames (T, C) without zeros, of the given lengths T; absent where that is 0."""
    generator = torch.Generator().manual_seed(0)
    items: list[Any] = []
    for length in lengths or (40, 60, 80, 100, 120, 0):
        numbers = torch.randn(max(length, 1), n_features, generator=generator)
        items.append((numbers.sign() + numbers, length > 0))
    return NormalizedFrames(
        items,
        Normalization.of_train(FrameStatistics([0.0] * n_features, [1.0] * n_features), len(items)),
    )


def make_texts(*rows: list[int]) -> TokenDataset:
    """Return the given texts, or some of 20 to 60 different words of which the last is absent."""
    ids = rows or tuple(list(range(10, 30 + 10 * row)) for row in range(N_ROWS))
    source = [np.array(row, dtype=np.int64) for row in ids]
    present = np.arange(len(ids)) < (len(ids) if rows else N_ROWS - 1)
    return TokenDataset(source, np.array([len(r) for r in ids]), present, SpecialIds(), 10**6)
