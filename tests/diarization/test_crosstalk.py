"""Echoes of another channel are dropped, and quiet speakers are kept."""

import numpy as np
import pytest

from emo_fairseq.diarization.activity import Activity, FramePowers
from emo_fairseq.diarization.crosstalk import echoes
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.silero import FRAME
from emo_fairseq.diarization.turns import find_turns

RATE = 16_000


def envelope(seed, n_frames=300):
    """Powers that rise and fall as those of speech do: some frames long, over 25 dB."""
    noise = np.random.default_rng(seed).normal(size=n_frames + 4)
    rough = np.convolve(noise, np.ones(5) / 5**0.5, mode="valid")
    return 10 ** (-2 + 0.6 * rough).astype(np.float32)


def mask_of(own, other):
    probabilities = np.full(len(own), 0.9, np.float32)
    channels = [Activity(probabilities, own), Activity(probabilities, other)]
    first, second = echoes(channels, TurnOptions())
    assert len(first) == len(second) == len(own)
    return first, second


@pytest.mark.parametrize("delay", [0, 3, 6])
@pytest.mark.parametrize("decibels", [15, 30])
def test_an_echo_is_found_at_any_delay(delay, decibels):
    loud = envelope(0)
    echo = np.pad(loud, (delay, 0))[: len(loud)] * np.float32(10 ** (-decibels / 10)) + 1e-8
    first, second = mask_of(echo.astype(np.float32), loud)
    assert first[delay + 2 :].mean() > 0.9
    assert second.mean() < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_a_quiet_speaker_is_no_echo(seed):
    quiet = envelope(2 * seed) * np.float32(0.02)
    first, second = mask_of(quiet, envelope(2 * seed + 1))
    assert first.mean() < 0.2
    assert second.mean() < 0.02


def test_silence_and_frames_without_speech_are_no_echo():
    loud = envelope(0)
    silent = np.zeros_like(loud)
    channels = [Activity(np.zeros_like(loud), silent), Activity(np.ones_like(loud), loud)]
    assert not any(mask.any() for mask in echoes(channels, TurnOptions()))


def test_the_power_of_frames_in_blocks_of_any_size():
    samples = np.random.default_rng(0).normal(size=3 * FRAME + 100).astype(np.float32)
    expected = [np.mean(samples[start : start + FRAME] ** 2) for start in range(0, 1600, FRAME)]
    meter = FramePowers()
    parts = [meter.feed(samples[start : start + 333]) for start in range(0, len(samples), 333)]
    np.testing.assert_allclose(np.concatenate([*parts, meter.finish()]), expected, rtol=1e-5)
    assert len(meter.finish()) == 0


@pytest.mark.realdata
def test_echoes_of_a_call_are_dropped_and_counted(clip):
    pytest.importorskip("faster_whisper")
    call = np.zeros((20 * RATE, 2), np.float32)
    truth = []
    for number, position in enumerate((RATE, 4 * RATE, 8 * RATE, 12 * RATE)):
        speech = clip(1 + number % 2, 7 * number)[: 3 * RATE]
        call[position : position + len(speech), number % 2] += speech
        truth.append((position / RATE, number % 2 + 1))
    echoing = call + 0.1 * np.roll(call[:, ::-1], RATE // 10, axis=0)
    echoing += np.random.default_rng(0).normal(scale=1e-4, size=call.shape)
    found = find_turns(echoing.astype(np.float32), TurnOptions(speakers="channels"))
    assert [turn.channel for turn in found.turns] == [channel for _, channel in truth]
    for turn, (start, _) in zip(found.turns, truth, strict=True):
        assert float(turn.start) == pytest.approx(start, abs=0.3)
    assert found.skipped["echoes of another channel"] >= 3
