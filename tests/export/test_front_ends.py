"""What graphs compute of samples is what Python computes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from data_prep.audio.frames import SHIFT_MS
from data_prep.features.log_mel import N_MELS, frames_of
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.frame_statistics import FrameStatistics, Normalizer
from emo_fairseq.data.frame_statistics import Normalization as Chosen
from emo_fairseq.export.front_ends import LogMelFrames, LogMelFrontEnd, Normalization

STATISTICS = FrameStatistics([2.0 + n / 40 for n in range(N_MELS)], [3.0] * N_MELS)


def noise(seconds: float, volume: float = 0.1) -> np.ndarray:
    draw = np.random.default_rng(round(1000 * seconds))
    return (volume * draw.normal(size=int(seconds * SAMPLE_RATE))).astype(np.float32)


def batch(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    waveform = pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)
    padding_mask = torch.arange(waveform.size(1)) >= lengths[:, None]
    return waveform + 0.5 * padding_mask, padding_mask  # what is in padding does not matter


@pytest.mark.parametrize("volume", [1e-4, 0.1, 1.0])
def test_log_mel_frames_are_those_of_kaldi(volume: float) -> None:
    samples = noise(1.0, volume)
    frames, n_frames = LogMelFrames()(torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    expected = frames_of(samples)
    assert n_frames.tolist() == [len(expected)]
    np.testing.assert_allclose(frames[0, : len(expected)], expected, atol=2e-4)


def test_digital_silence_and_a_tone() -> None:
    silence = np.zeros(800, np.float32)
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    for samples in (silence, tone):
        length = torch.tensor([len(samples)])
        frames, n_frames = LogMelFrames()(torch.from_numpy(samples)[None], length)
        expected = frames_of(samples)
        # Where a band has less than 1e-10 of the loudest band's energy both are rounding errors.
        is_real = expected > expected.max() + np.log(1e-10)
        found = frames[0, : n_frames[0]].numpy()
        np.testing.assert_allclose(found[is_real], expected[is_real], atol=5e-3)
        assert found[~is_real].max(initial=-np.inf) < expected.max() + np.log(1e-9)


@pytest.mark.parametrize("by_row", [False, True])
def test_rows_of_a_padded_batch(by_row: bool) -> None:
    rows = [noise(1.0), noise(0.3), noise(0.025), noise(0.01)]  # the last is less than a frame
    front_end = LogMelFrontEnd(Normalization(STATISTICS, by_row), is_half=False)
    found, padding_mask = front_end(*batch(rows))
    for number, row in enumerate(rows):
        frames = frames_of(row)
        uses_own = by_row and len(frames) >= 8
        of_row = np.array([Chosen.ITSELF if uses_own else 0])
        expected = Normalizer(Chosen([STATISTICS], of_row)).normalize(0, frames)
        n_real = int((~padding_mask[number]).sum())
        assert n_real == len(expected)
        np.testing.assert_allclose(found[number, :n_real], expected, atol=2e-4)
        assert not found[number, n_real:].any()


def test_frames_of_half_precision() -> None:
    """Features on disk are rounded, and so are those that the graph computes in their place."""
    samples = noise(0.5)
    exact = LogMelFrontEnd(Normalization(STATISTICS, by_row=False), is_half=False)
    rounded = LogMelFrontEnd(Normalization(STATISTICS, by_row=False), is_half=True)
    waveform, padding_mask = batch([samples])
    difference = (exact(waveform, padding_mask)[0] - rounded(waveform, padding_mask)[0]).abs()
    assert 0 < float(difference.max()) < 0.01


@pytest.mark.realdata
def test_recordings_of_ravdess(real_data: Any) -> None:
    import soundfile

    files: list[Path] = sorted(real_data("ravdess").glob("Actor_*/*.flac"))[::360]
    rows = [soundfile.read(file, dtype="float32")[0] for file in files]
    waveform, padding_mask = batch(rows)
    frames, n_frames = LogMelFrames()(
        waveform.masked_fill(padding_mask, 0.0), (~padding_mask).sum(dim=1)
    )
    assert SHIFT_MS == 10
    for number, row in enumerate(rows):
        expected = frames_of(row)
        found = frames[number, : n_frames[number]].numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3)
        assert np.abs(found - expected).mean() < 1e-4
