"""A response names each truncated input, and only those."""

import numpy as np
import pytest
from trained_models import load_with_options

from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.model_description import ModelDescription, describe_model

SENTENCE = "what a lovely day it was when we all went out to see the sea"


def test_a_text_is_truncated_exactly_where_its_last_word_has_no_weight(client, narrow):
    narrow(max_text_tokens=16)
    was_cut = []
    words = SENTENCE.split()
    for n_words in range(2, len(words) + 1):
        text = " ".join(words[:n_words])
        answer = client.post("/api/explain", json={"text": text}).json()
        is_cut = bool(answer["truncated"])
        assert (
            client.post("/api/predict", json={"text": text}).json()["truncated"]
            == answer["truncated"]
        )
        if is_cut and was_cut[-1]:
            assert answer["words"][-1]["weight"] == pytest.approx(0, abs=1e-6)
        elif not is_cut:
            assert abs(answer["words"][-1]["weight"]) > 1e-6
        was_cut.append(is_cut)
    assert was_cut == sorted(was_cut)
    assert set(was_cut) == {False, True}
    assert "reads the first 14 of its" in answer["truncated"][0]


def test_a_truncated_recording_is_named(client, narrow, hum, encode):
    narrow(max_speech_seconds=1.0)
    whole, longer = (
        client.post("/api/predict", files={"audio": encode(hum(seconds))}).json()
        for seconds in (1.0, 1.5)
    )
    assert whole["truncated"] == []
    (sentence,) = longer["truncated"]
    assert sentence.startswith("The recording is too long for the model")
    assert "the first 1 of its 1.5 seconds" in sentence


def test_the_limit_of_speech_tokens_is_not_in_seconds(trained_models, hum):
    folder = trained_models.folder("--modality speech --speech-input tokens")
    assert (
        describe_model(load_predictor(folder, "cpu"), Limits(), ModelDescription())[
            "max_audio_seconds"
        ]
        is None
    )
    narrow = load_with_options(folder, max_speech_tokens=12)
    (truncation,) = narrow.predict(hum(1.0), sample_rate=16_000).truncations
    assert (truncation.modality, truncation.used, truncation.unit) == ("speech", 10, "tokens")
    assert truncation.total > 10


def test_of_many_words_the_first_are_explained(client):
    answer = client.post("/api/explain", json={"text": " ".join(["word"] * 70)}).json()
    assert len(answer["words"]) == 64
    assert answer["left_out"] == ["Of 70 words the first 64 were explained."]
    assert np.isfinite([word["weight"] for word in answer["words"]]).all()
