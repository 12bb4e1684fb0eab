"""Text made of speech where there is none.

faster-whisper itself, which fetches its models, is not run here: a stand-in of its interface is.
"""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from codes import raises

from emo_fairseq.inference.inputs import faster_whisper
from emo_fairseq.models.roberta_emo import RobertaEMOModel

BOTH = "--modality text+speech --speech-input log_mel"
TEXT = "--modality text"
NOISE = np.random.default_rng(0).normal(0, 0.1, (8_000, 2))


def open_model(trained_models, options):
    return RobertaEMOModel.from_pretrained(trained_models.folder(options), "cpu")


def test_what_is_heard_is_read(trained_models):
    heard = []

    def transcribe(samples):
        heard.append(samples)
        return " such a party\n"

    model = open_model(trained_models, BOTH)
    found = model.predict(
        [NOISE, None, NOISE], [None, "rain", "rain"], sample_rate=8_000, transcribe=transcribe
    )
    assert [p.text for p in found] == ["such a party", "rain", "rain"]
    assert [p.modalities for p in found] == [("text", "speech"), ("text",), ("text", "speech")]
    assert len(heard) == 1
    assert (heard[0].dtype, heard[0].shape) == (np.float32, (16_000,))
    said = model.predict(NOISE, "such a party", sample_rate=8_000)
    assert found[0].probabilities == pytest.approx(said.probabilities, abs=1e-5)

    reader = open_model(trained_models, TEXT)  # which hears nothing by itself
    found = reader.predict(NOISE, sample_rate=8_000, transcribe=transcribe)
    assert (found.text, found.modalities, found.seconds) == ("such a party", ("text",), 1.0)
    assert found.probabilities == reader.predict(text="such a party").probabilities
    texts = ["rain", None]  # a text that is there is not heard again
    found = reader.predict([NOISE, NOISE], texts, sample_rate=8_000, transcribe=transcribe)
    assert [p.text for p in found] == ["rain", "such a party"]


def test_no_words(trained_models):
    given = {"sample_rate": 8_000, "transcribe": lambda samples: "  "}
    assert open_model(trained_models, BOTH).predict(NOISE, **given).modalities == ("speech",)
    with raises("item-empty"):
        open_model(trained_models, TEXT).predict([NOISE], **given)


def test_the_item_that_cannot_be_transcribed_is_named(trained_models):
    def transcribe(samples):
        raise KeyError("language")

    model = open_model(trained_models, BOTH)
    with raises("transcribe-failed"):
        model.predict([NOISE, NOISE], ["a", None], sample_rate=8_000, transcribe=transcribe)


class _Whisper:
    """The interface of faster_whisper.WhisperModel, as its documentation has it."""

    def __init__(self, model, device, compute_type):
        if model == "none":
            raise ValueError("Invalid model size 'none'")
        self.made_of = (model, device, compute_type)

    def transcribe(self, audio, language=None):
        assert audio.dtype == np.float32
        words = [*self.made_of, str(language), str(len(audio))]
        return (SimpleNamespace(text=f" {word}") for word in words), None


def test_faster_whisper_is_asked_as_it_wants(monkeypatch):
    module = ModuleType("faster_whisper")
    module.WhisperModel = _Whisper
    monkeypatch.setitem(sys.modules, "faster_whisper", module)
    transcribe = faster_whisper("models/small", language="en")
    assert transcribe(np.zeros(7, np.float32)) == "models/small cpu int8 en 7"
    with raises("whisper-unreadable"):
        faster_whisper("none")


def test_without_faster_whisper(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with raises("library-missing"):
        faster_whisper()
