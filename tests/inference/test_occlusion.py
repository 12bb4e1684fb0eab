"""Weights of words and moments are what leaving each out by hand gives."""

import math

import numpy as np
import pytest
from codes import raises
from trained_models import load_with_options

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.occlusion import (
    drop,
    explain,
    interval_edges,
    silence_interval,
)
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.stopping import StoppedError

MODEL = "--modality text+speech --speech-input log_mel --auxiliary-targets vad"
RATE = 16_000


@pytest.fixture(scope="module")
def predictor(trained_models):
    return load_predictor(trained_models.folder(MODEL), "cpu")


def noise(seconds):
    return np.random.default_rng(2).normal(scale=0.1, size=round(seconds * RATE)).astype(np.float32)


def test_work_is_stopped_before_its_next_batch(predictor, monkeypatch):
    forward, done = predictor.engine.forward, []

    def counted(net_input):
        done.append(1)
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", counted)

    def after_two():
        return len(done) == 2

    sound = noise(6.0)
    with pytest.raises(StoppedError):
        explain(predictor, sound, "a day", RATE, should_stop=after_two)
    assert len(done) == 2
    done.clear()
    with pytest.raises(StoppedError):
        predictor.timeline(
            sound,
            window_seconds=1,
            hop_seconds=1,
            sample_rate=RATE,
            batch_size=1,
            should_stop=after_two,
        )
    assert len(done) == 2
    done.clear()
    with pytest.raises(StoppedError):
        predictor.predict([sound] * 5, sample_rate=RATE, batch_size=1, should_stop=after_two)
    assert len(done) == 2


def test_words_are_left_out_whole_and_moments_are_silence_interval(predictor):
    sound, text = noise(1.0), "Well,  a “lovely” day"
    explanation = explain(predictor, sound, text, RATE)
    whole = predictor.predict(sound, text, sample_rate=RATE)
    assert explanation.label == whole.label
    before = math.log(whole.probabilities[whole.label])

    def lost(audio, words):
        without = predictor.predict(audio, words, sample_rate=RATE)
        return before - math.log(without.probabilities[whole.label])

    words = ["Well,", "a", '"lovely"', "day"]
    assert [word for word, _ in explanation.words] == words
    for number, (_, weight) in enumerate(explanation.words):
        rest = " ".join(words[:number] + words[number + 1 :])
        assert weight == pytest.approx(lost(sound, rest), abs=1e-5)
    assert [interval[:2] for interval in explanation.intervals] == [
        (0, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1.0),
    ]
    for start, end, weight in explanation.intervals:
        silent = silence_interval(sound, round(start * RATE), round(end * RATE))
        assert weight == pytest.approx(lost(silent, text), abs=1e-5)
    assert len({round(weight, 7) for *_, weight in explanation.intervals}) == 4
    assert explanation.left_out == ()


def test_any_audio_is_weighed_as_it_is_heard(predictor, tmp_path):
    left = noise(0.6)
    as_integers = np.stack([left * 32768, left * 0], axis=1).astype(np.int16)
    explained = explain(predictor, as_integers, sample_rate=RATE)
    assert explained.words == []
    heard = (as_integers / 32768.0).mean(axis=1).astype(np.float32)
    expected = explain(predictor, heard, sample_rate=RATE)
    assert [m[2] for m in explained.intervals] == pytest.approx([m[2] for m in expected.intervals])
    with pytest.raises(UsageError, match="there is no such file"):
        explain(predictor, tmp_path / "none.wav")
    with raises("item-empty"):
        explain(predictor)


def test_what_has_no_weight_is_named(predictor, trained_models):
    alone = explain(predictor, text="Hello")
    assert (alone.words, len(alone.left_out)) == ([], 1)
    assert "'Hello' is the only word" in alone.left_out[0]
    # Beside a sound the only word can go: its text is missing then.
    sound = noise(0.3)
    (word,) = explain(predictor, sound, "Hello", RATE).words
    both, without = (predictor.predict(sound, text, sample_rate=RATE) for text in ("Hello", None))
    assert word == ("Hello", pytest.approx(drop(both, without), abs=1e-5))
    narrow = load_with_options(trained_models.folder(MODEL), max_speech_seconds=0.75)
    long = explain(narrow, noise(1.2), sample_rate=RATE)
    assert long.intervals[-1][1] == 0.75
    assert long.left_out == ("Of 1.2 s of audio the first 0.75 s were explained.",)


def test_a_silence_is_faded_and_touches_nothing_else():
    ones = np.ones(RATE, np.float32)
    silent = silence_interval(ones, 4000, 8000)
    assert (silent[4000:8000] == 0).all()
    np.testing.assert_array_equal(np.r_[silent[:3840], silent[8160:]], 1)
    assert np.abs(np.diff(silent)).max() < 0.015
    np.testing.assert_allclose(silent[3840:4000], silent[8000:8160][::-1])
    for start, end in [(0, 50), (20, 90), (RATE - 90, RATE - 20), (0, RATE)]:
        cut = silence_interval(ones, start, end)
        assert (cut[start:end] == 0).all()
        assert np.abs(np.diff(cut)).max() < 0.015


@pytest.mark.parametrize("seconds", [0.03, 0.26, 0.9, 7.9, 8.1, 15.7, 16.3, 29.9, 90.0])
def test_moments_cover_what_is_weighed_and_are_of_equal_length(seconds):
    edges = np.array(interval_edges(round(seconds * RATE)))
    lengths = np.diff(edges) / RATE
    assert edges[0] == 0
    assert edges[-1] == round(min(seconds, 30.0) * RATE)
    assert lengths.max() <= 0.5 + 1e-4
    assert lengths.min() >= min(seconds, 0.25) - 1e-4
    assert np.ptp(lengths) <= 1.5 / RATE


def test_numbers_move_by_the_mean_of_their_changes():
    def prediction(label, probabilities, values):
        return Prediction(label, probabilities, values, {}, np.zeros(1), ("text",))

    whole = prediction(None, {}, {"valence": 0.5, "arousal": 0.5, "dominance": 0.1})
    without = prediction(None, {}, {"valence": 0.2, "arousal": 0.8, "dominance": 0.1})
    assert drop(whole, without) == pytest.approx(0.2)
    sure = prediction("sad", {"sad": 1.0}, {})
    assert drop(sure, prediction("sad", {"sad": 0.0}, {})) == pytest.approx(12 * math.log(10))
    assert drop(sure, prediction("sad", {"sad": 0.5}, {})) == pytest.approx(math.log(2))
