"""Stretches of speech: against faster-whisper's own, in blocks of any size, and long ones."""

import numpy as np
import pytest
from codes import raises

from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.diarization.silero import FRAME, SpeechProbabilities
from emo_fairseq.diarization.voice_activity import SpeechSegmenter, Stretch, VoiceActivity

RATE = 16_000


def segment(probabilities, options, n_samples=None, size=None, max_seconds=None):
    """Stretches of frames, which are fed in blocks of a size."""
    segmenter = SpeechSegmenter(options, max_seconds)
    n_samples = len(probabilities) * FRAME if n_samples is None else n_samples
    found = []
    for start in range(0, len(probabilities), size or len(probabilities)):
        found += segmenter.feed(probabilities[start : start + (size or len(probabilities))])
    return found + segmenter.finish(n_samples), segmenter


def frames(*runs):
    """Probabilities of runs of (number of frames, probability)."""
    return np.concatenate([np.full(n, p, np.float32) for n, p in runs])


@pytest.mark.parametrize("size", [1, 7, None])
def test_the_same_as_faster_whisper_of_any_probabilities(size, monkeypatch):
    vad = pytest.importorskip("faster_whisper.vad")
    noise = np.random.default_rng(3)
    options = TurnOptions(min_seconds=0.2, max_seconds=30.0, pause=0.3, padding=0.1, threshold=0.6)
    known = vad.VadOptions(0.6, 0.45, 200, float("inf"), 300, 100)
    n_found = 0
    for _ in range(20):
        rough = np.repeat(noise.random(60), noise.integers(1, 12, 60))[:400]
        probabilities = np.clip(rough + noise.normal(0, 0.1, len(rough)), 0, 1).astype(np.float32)
        probabilities[-12:] = 0  # at the end of the audio it takes silence for speech
        monkeypatch.setattr(vad, "get_vad_model", lambda p=probabilities: lambda audio: p)
        expected = vad.get_speech_timestamps(np.zeros(len(probabilities) * FRAME - 5), known)
        found, _ = segment(probabilities, options, size=size)
        assert found == [Stretch(part["start"], part["end"]) for part in expected]
        n_found += len(found)
    assert n_found > 50


def test_short_speech_is_counted_and_noise_within_speech_is_no_pause():
    options = TurnOptions(min_seconds=0.2, pause=0.32, padding=0.0)
    probabilities = frames((5, 0), (3, 0.9), (20, 0), (20, 0.9), (9, 0.1), (20, 0.9), (30, 0.0))
    found, segmenter = segment(probabilities, options)
    assert found == [Stretch(28 * FRAME, 77 * FRAME)]
    assert segmenter.n_too_short == 1


@pytest.mark.parametrize("size", [1, 50, None])
def test_long_speech_is_cut_at_its_least_probable_frames_and_none_of_it_is_lost(size):
    noise = np.random.default_rng(1)
    probabilities = noise.uniform(0.8, 1.0, 1000).astype(np.float32)
    dips = [90, 180, 270, 500]  # a frame that is less likely speech, with its neighbors
    for dip in dips:
        probabilities[dip - 1 : dip + 2] = 0.55
    options = TurnOptions(min_seconds=0.3, max_seconds=4.0, threshold=0.5)
    found, _ = segment(probabilities, options, size=size)
    assert found[0].start == 0
    assert found[-1].end == 1000 * FRAME
    assert [part.end for part in found[:-1]] == [part.start for part in found[1:]]
    assert {part.end // FRAME for part in found} >= set(dips)
    assert all(0.3 <= (part.end - part.start) / RATE <= 4.0 for part in found)


def test_speech_is_cut_at_a_short_silence_that_comes_just_then():
    options = TurnOptions(min_seconds=0.2, max_seconds=2.0, pause=1.0, padding=0.1)
    probabilities = frames((55, 0.9), (9, 0.0), (40, 0.9), (60, 0.0))
    found, _ = segment(probabilities, options)
    assert found == [Stretch(0, 56 * FRAME), Stretch(64 * FRAME - 1600, 104 * FRAME + 1600)]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("min_seconds", -1.0),
        ("max_seconds", 31.0),
        ("max_seconds", float("nan")),
        ("pause", 0.0),
        ("padding", 0.26),
        ("threshold", 1.0),
        ("speakers", "two"),
        ("speakers", 0),
        ("speakers", True),
    ],
)
def test_options_out_of_range(field, value):
    with raises("turn-options-invalid") as error:
        TurnOptions(**{field: value})
    assert str(error.value).startswith(f"{field}: ")
    with raises("turn-options-invalid"):
        TurnOptions(min_seconds=1.0, max_seconds=3.0)


# -- Silero itself ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def faster_whisper_vad():
    return pytest.importorskip("faster_whisper.vad")


@pytest.mark.realdata
@pytest.mark.parametrize("size", [333, 100_000])
def test_a_stream_of_speech_is_that_of_faster_whisper(size, stitch, faster_whisper_vad):
    samples, turns = stitch([1, 2, 3, 4, 5, 8], pause=1.0)
    options = faster_whisper_vad.VadOptions(
        threshold=0.5, min_speech_duration_ms=250, min_silence_duration_ms=500, speech_pad_ms=100
    )
    expected = faster_whisper_vad.get_speech_timestamps(samples.copy(), options)
    voice = VoiceActivity(TurnOptions(pause=0.5, padding=0.1, threshold=0.5))
    found = []
    for start in range(0, len(samples), size):
        segments = voice.feed(samples[start : start + size])
        found += segments
        assert all(part.end <= start + size for part in segments)
        assert len(voice._kept) <= 4 * RATE + size
    assert not voice.is_speaking
    assert voice.finish() == []
    assert [{"start": part.start, "end": part.end} for part in found] == expected
    assert len(found) == len(turns)
    for part, (start, end, _) in zip(found, turns, strict=True):
        np.testing.assert_array_equal(part.samples, samples[part.start : part.end])
        assert abs(part.start - start) < 0.3 * RATE
        assert abs(part.end - end) < 0.3 * RATE


@pytest.mark.realdata
def test_the_end_of_a_stream_ends_speech(clip):
    speech = clip(1, 0)
    voice = VoiceActivity()
    assert voice.feed(speech) == []
    assert voice.is_speaking
    (part,) = voice.finish()
    assert part.end == len(speech)
    assert len(part.samples) == part.end - part.start


def test_streams_are_independent_and_noise_is_no_speech():
    noise = np.random.default_rng(0).normal(scale=0.05, size=2 * RATE + 100).astype(np.float32)
    alone = SpeechProbabilities()
    expected = np.concatenate([alone.feed(noise), alone.finish()])
    first, second = SpeechProbabilities(), SpeechProbabilities()
    found = []
    for start in range(0, len(noise), 700):
        found.append(first.feed(noise[start : start + 700]))
        second.feed(10 * noise[start : start + 500])
    found.append(first.finish())
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)
    assert len(expected) == 63
    assert expected.max() < 0.5


def test_the_network_is_missing(monkeypatch):
    from emo_fairseq.diarization import silero

    silero._load_session.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        with raises("library-missing") as error:
            SpeechProbabilities()
    assert "[conversations]" in str(error.value)
    SpeechProbabilities()
