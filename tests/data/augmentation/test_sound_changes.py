"""Noise at the ratio that was drawn, gains in decibels, speed with pitch and tempo together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from input_examples import make_tones

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.audio import (
    MIN_SAMPLES,
    WaveformDataset,
)
from emo_fairseq.data.augmentation import (
    COLORS,
    AddedNoise,
    Gain,
    Speed,
    at_speed,
    colored_noise,
)

N_TONES = 5


def decibels(power_ratio: float) -> float:
    return 10 * float(np.log10(power_ratio))


def measured_snr(noisy: torch.Tensor, clean: torch.Tensor) -> float:
    signal, noise = clean.double(), noisy.double() - clean.double()
    return decibels(float(signal.square().mean() / noise.square().mean()))


# -- noise -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0, 30.0])
def test_noise_is_at_the_ratio(tmp_path: Path, color: str, snr: float) -> None:
    dataset = AddedNoise(make_tones(tmp_path), (snr, snr), color, seed=1)
    for row in range(N_TONES):
        assert measured_snr(dataset[row][0], dataset.dataset[row][0]) == pytest.approx(
            snr, abs=0.01
        )


def test_noise_is_at_the_ratio_in_recorded_speech(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    files = sorted(real_data("ravdess").glob("Actor_0[12]/*.flac"))[::12]
    assert len(files) == 10
    lengths = np.array([soundfile.info(file).frames for file in files])
    speech = WaveformDataset(files, lengths, 10**6, [file.stem for file in files])
    for color in COLORS:
        dataset = AddedNoise(speech, (5, 15), color, seed=1)
        found = [measured_snr(dataset[row][0], speech[row][0]) for row in range(len(files))]
        drawn = [dataset._generator(row).uniform(5, 15) for row in range(len(files))]
        np.testing.assert_allclose(found, drawn, atol=0.1)


def test_ratios_are_drawn_uniformly(tmp_path: Path) -> None:
    dataset = AddedNoise(make_tones(tmp_path), (5, 20), "white", seed=1)
    clean = dataset.dataset[0][0]
    found = []
    for epoch in range(1, 401):
        dataset.set_epoch(epoch)
        found.append(measured_snr(dataset[0][0], clean))
    assert 5 <= min(found) < 5.5
    assert 19.5 < max(found) <= 20
    # The mean of 400 draws deviates by 15 / sqrt(12 * 400) = 0.22.
    assert np.mean(found) == pytest.approx(12.5, abs=4 * 0.22)


def test_silence_stays_silence(tmp_path: Path) -> None:
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.zeros(8000), SAMPLE_RATE)
    silent = WaveformDataset([path], np.array([8000]), 10**6, ["a"])
    for color in COLORS:
        samples, present = AddedNoise(silent, (0, 10), color, seed=1)[0]
        assert present
        assert samples.tolist() == [0.0] * 8000


@pytest.mark.parametrize(("color", "ratio"), [("white", 2.0), ("pink", 1.0)])
def test_power_of_octaves(color: str, ratio: float) -> None:
    """White noise has twice as much power in the next octave, pink noise the same."""
    noise = colored_noise(np.random.default_rng(0), 2**18, color)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [spectrum[2**n : 2 ** (n + 1)].sum() for n in range(10, 17)]
    np.testing.assert_allclose(np.divide(octaves[1:], octaves[:-1]), ratio, rtol=0.15)


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("n_samples", [2, 3, 400, 401])
def test_noise_has_power_1_and_no_constant_part(color: str, n_samples: int) -> None:
    noise = colored_noise(np.random.default_rng(0), n_samples, color)
    assert noise.shape == (n_samples,)
    assert np.mean(noise**2) == pytest.approx(1)
    assert np.mean(noise) == pytest.approx(0, abs=1e-9)


# -- gain ------------------------------------------------------------------------------------------


def test_the_gain_is_what_was_drawn(tmp_path: Path) -> None:
    dataset = Gain(make_tones(tmp_path), 20.0, seed=1)
    for row in range(N_TONES):
        drawn = dataset._generator(row).uniform(-20, 20)
        clean = dataset.dataset[row][0]
        torch.testing.assert_close(dataset[row][0], clean * 10 ** (drawn / 20))
        louder = dataset[row][0].square().mean() / clean.square().mean()
        assert decibels(float(louder)) == pytest.approx(drawn, abs=1e-3)


def test_gains_are_drawn_from_both_sides(tmp_path: Path) -> None:
    dataset = Gain(make_tones(tmp_path), 6.0, seed=1)
    clean = dataset.dataset[0][0].square().mean()
    found = []
    for epoch in range(1, 401):
        dataset.set_epoch(epoch)
        found.append(decibels(float(dataset[0][0].square().mean() / clean)))
    assert -6 <= min(found) < -5.8
    assert 5.8 < max(found) <= 6
    assert np.mean(found) == pytest.approx(0, abs=4 * 12 / np.sqrt(12 * 400))


def test_a_loud_row_is_not_clipped(tmp_path: Path) -> None:
    dataset = Gain(make_tones(tmp_path), 40.0, seed=1)
    assert max(float(dataset[row][0].abs().max()) for row in range(N_TONES)) > 1


# -- speed -----------------------------------------------------------------------------------------


def peak(samples: np.ndarray) -> float:
    """The frequency, in Hz, at which the spectrum is highest."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 2**18))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / 2**18


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 1.37, 2.0])
def test_pitch_and_tempo_go_together(factor: float) -> None:
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 440 * time).astype(np.float32)
    faster = at_speed(tone, factor)
    assert faster.dtype == np.float32
    assert len(faster) == pytest.approx(SAMPLE_RATE / factor, abs=1)
    assert peak(faster) == pytest.approx(440 * factor, rel=2e-3)
    middle = slice(500, len(faster) - 500)  # resampling rings at the edges
    expected = np.sin(2 * np.pi * 440 * factor * np.arange(len(faster)) / SAMPLE_RATE)
    np.testing.assert_allclose(faster[middle], expected[middle], atol=2e-3)


def test_every_speed_is_chosen_as_often(tmp_path: Path) -> None:
    dataset = Speed(make_tones(tmp_path), [0.9, 1.0, 1.1], 10**6, seed=1)
    lengths = []
    for epoch in range(1, 301):
        dataset.set_epoch(epoch)
        lengths.append(len(dataset[0][0]))
    found, counts = np.unique(lengths, return_counts=True)
    np.testing.assert_allclose(found, [1600 / 1.1, 1600, 1600 / 0.9], atol=1)
    # 100 each, with a deviation of sqrt(300 * 1/3 * 2/3) = 8.2.
    assert (abs(counts - 100) < 4 * 8.2).all()


def test_speed_1_is_the_row_itself(tmp_path: Path) -> None:
    dataset = Speed(make_tones(tmp_path), [1.0], 10**6, seed=1)
    assert all(torch.equal(dataset[row][0], dataset.dataset[row][0]) for row in range(N_TONES + 1))


def test_what_becomes_too_long_is_cut_where_the_leaf_cuts(tmp_path: Path) -> None:
    whole = Speed(make_tones(tmp_path), [0.5], 10**6, seed=1)
    dataset = Speed(make_tones(tmp_path, max_seconds=0.35), [0.5], 5600, seed=1)
    assert [len(dataset[row][0]) for row in range(N_TONES)] == [3200, 5600, 5600, 5600, 5600]
    torch.testing.assert_close(dataset[1][0], whole[1][0][:5600])
    assert dataset.sizes.tolist() == [1600, 3200, 4800, 5600, 5600, MIN_SAMPLES]


def test_what_becomes_too_short_is_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(500, 0.5), SAMPLE_RATE, subtype="FLOAT")
    short = WaveformDataset([path], np.array([500]), 10**6, ["a"])
    samples, present = Speed(short, [2.0], 10**6, seed=1)[0]
    assert present
    assert len(samples) == MIN_SAMPLES
    assert samples[250:].eq(0).all()
    assert samples[:200].abs().min() > 0.1


def test_a_batch_of_other_speeds_is_padded(tmp_path: Path) -> None:
    dataset: Any = Speed(make_tones(tmp_path), [0.9], 10**6, seed=1)
    batch = dataset.collater([dataset[row] for row in range(N_TONES + 1)])
    lengths = [len(dataset[row][0]) for row in range(N_TONES + 1)]
    assert lengths[-1] == MIN_SAMPLES
    assert batch["waveform"].shape == (N_TONES + 1, max(lengths))
    assert (~batch["padding_mask"]).sum(dim=1).tolist() == lengths
    assert batch["waveform"][batch["padding_mask"]].eq(0).all()
