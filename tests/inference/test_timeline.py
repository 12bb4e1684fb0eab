"""Long audio in stretches: all of it is heard, each stretch as if it were alone."""

from itertools import pairwise

import numpy as np
import pytest
from codes import raises
from hypothesis import given, settings
from hypothesis import strategies as st
from trained_models import load_with_options

from data_prep.commands.extract_features import main as extract_features
from emo_fairseq.inference.timeline import windows
from emo_fairseq.models.roberta_emo import RobertaEMOModel

BOTH = "--modality text+speech --speech-input log_mel"
SMALL = "--arch robertaEMO_tiny --embedding-dim 16"
RATE = 16_000


@settings(max_examples=200, deadline=None)
@given(st.integers(400, 400_000), st.integers(400, 50_000), st.integers(400, 50_000))
def test_windows_cover_every_sample(n_samples, window, hop):
    window, hop = max(window, hop), min(window, hop)
    found = windows(n_samples, window / RATE, hop / RATE, 20.0)
    assert found[0].start == 0
    assert found[-1].stop == n_samples
    assert {part.stop - part.start for part in found} == {min(window, n_samples)}
    for one, following in pairwise(found):
        assert one.start < following.start <= min(one.start + hop, one.stop)
    assert all(part.start == number * hop for number, part in enumerate(found[:-1]))


REFUSED = {
    "longer than the model reads": ((21.0, 2.0), "window-too-long"),
    "gaps": ((1.0, 2.0), "window-invalid"),
    "no hop": ((1.0, 0.0), "window-invalid"),
    "backwards": ((1.0, -1.0), "window-invalid"),
    "undefined": ((float("nan"), 1.0), "window-invalid"),
    "endless": ((float("inf"), 1.0), "window-invalid"),
}


@pytest.mark.parametrize(("lengths", "code"), REFUSED.values(), ids=REFUSED)
def test_lengths_that_make_no_sense(lengths, code):
    with raises(code):
        windows(100_000, *lengths, 20.0)


def test_a_window_is_predicted_as_if_alone(trained_models):
    predictor = RobertaEMOModel.from_pretrained(trained_models.folder(BOTH), "cpu")
    rng = np.random.default_rng(3)
    n_samples = int(24.5 * RATE)
    sound = (rng.normal(0, 0.1, n_samples) * np.linspace(0, 1, n_samples)).astype(np.float32)
    found = predictor.timeline(
        sound, sample_rate=RATE, text="no", window_seconds=3.0, hop_seconds=2.0, batch_size=5
    )
    regular = [(2.0 * number, 2.0 * number + 3.0) for number in range(11)]
    assert [(s.start, s.end) for s in found] == [*regular, (21.5, 24.5)]
    for segment in (found[0], found[-1]):
        part = sound[int(segment.start * RATE) : int(segment.end * RATE)]
        alone = predictor.predict(part, "no", sample_rate=RATE)
        assert np.abs(alone.embedding - segment.prediction.embedding).max() < 1e-5
        assert segment.as_dict() == {
            "start": segment.start,
            "end": segment.end,
            **segment.prediction.as_dict(),
        }
    short = predictor.timeline(sound[:RATE], sample_rate=RATE)
    assert [(s.start, s.end) for s in short] == [(0.0, 1.0)]
    assert short[0].prediction.modalities == ("speech",)
    with raises("audio-missing"):
        predictor.timeline(None, text="no")


def test_the_longest_recording_is_that_of_the_option(trained_models):
    speech = load_with_options(trained_models.folder(BOTH), max_speech_seconds=3.0)
    assert speech.max_seconds() == 3.0
    sound = np.random.default_rng(3).normal(0, 0.1, 4 * RATE)
    with raises("window-too-long"):
        speech.timeline(sound, sample_rate=RATE, window_seconds=3.5)
    text = load_with_options(trained_models.folder("--modality text"), max_speech_seconds=3.0)
    assert text.max_seconds() == np.inf


def test_a_window_of_more_frames_than_are_read_is_refused(trained_models, copy_toy):
    data = copy_toy()
    assert extract_features([str(data), "--name", "levels", "--encoder", "log_mel"]) == 0
    options = "--modality speech --speech-encoder features:levels --max-frames 50"
    checkpoint = trained_models.checkpoint(options, data, SMALL)
    predictor = RobertaEMOModel.from_pretrained(checkpoint, "cpu", data=data)
    sound = np.random.default_rng(3).normal(0, 0.1, 2 * RATE)
    assert predictor.max_seconds() == 0.515  # 50 frames of 25 ms every 10 ms
    with raises("window-too-long"):
        predictor.timeline(sound, sample_rate=RATE, window_seconds=1.0, hop_seconds=0.5)
    found = predictor.timeline(sound, sample_rate=RATE, window_seconds=0.5, hop_seconds=0.5)
    assert len(found) == 4
