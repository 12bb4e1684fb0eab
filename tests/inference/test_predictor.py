"""A predictor gives what fairseq-validate does, for any form of input, or one sentence."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch
from codes import raises
from extended import all_but
from fairseq.dataclass.utils import merge_with_parent
from omegaconf import OmegaConf

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.inference.prediction import Truncation
from emo_fairseq.models.roberta_emo import RobertaEMOConfig, RobertaEMOModel

BOTH = "--modality text+speech --speech-input log_mel"
SEVERAL = "--modality text --auxiliary-targets vad,sentiment"
CASES = {
    "text, several targets": (SEVERAL, "text"),
    "text in dialogues": ("--modality text --context-past 2 --max-text-tokens 9", "text"),
    "text + log-mel": (BOTH, "text+speech"),
    "log-mel, vad": ("--modality speech --speech-input log_mel --target vad", "speech"),
    "waveform, sentiment_score": ("--modality speech --target sentiment_score", "speech"),
    "text + codes, binary_emotion": (
        "--speech-input tokens --target binary_emotion --fusion gated",
        "text+speech",
    ),
}
TOLERANCE = 1e-5


@pytest.mark.parametrize(("options", "modalities"), all_but(CASES.keys() - {"log-mel, vad"}, CASES))
def test_it_predicts_as_fairseq_validate_does(
    options, modalities, scored_toy, trained_models, rows_of
):
    checkpoint = trained_models.checkpoint(options, scored_toy)
    expected = trained_models.validated(checkpoint, scored_toy)
    audio, text = rows_of(scored_toy)
    predictor = RobertaEMOModel.from_pretrained(trained_models.folder(options, scored_toy), "cpu")
    assert predictor.modalities == tuple(modalities.split("+"))
    found = predictor.predict(
        audio if "speech" in modalities else None,
        text if "text" in modalities else None,
        batch_size=5,
    )
    assert len(found) == len(expected) == 12
    for prediction, row in zip(found, expected, strict=True):
        written = {name: float(row[PROBABILITY + name]) for name in prediction.probabilities}
        written |= {name: float(row[PREDICTION_OF + name]) for name in prediction.values}
        assert written.keys() == {*predictor.labels, *predictor.axes}
        said = {**prediction.probabilities, **prediction.values}
        assert said == pytest.approx(written, abs=TOLERANCE)
        assert prediction.label == row.get("prediction")
        assert prediction.modalities == predictor.modalities
        assert {k: tuple(v) for k, v in prediction.auxiliary.items()} == predictor.auxiliary
    # One by one, and out of the checkpoint itself, it is the same.
    first = {"audio": audio[0]} if "speech" in modalities else {}
    first |= {"text": text[0]} if "text" in modalities else {}
    from_checkpoint = RobertaEMOModel.from_pretrained(checkpoint, "cpu", data=scored_toy)
    for one in (predictor.predict(**first), from_checkpoint.predict(**first)):
        assert np.abs(one.embedding - found[0].embedding).max() < TOLERANCE
        assert one.embedding.shape == (16,)


def test_what_an_item_lacks_is_masked_as_in_training(both, trained_models, toy_corpus, rows_of):
    audio, text = rows_of(toy_corpus)
    masked = "--mask-modality speech"
    expected = trained_models.validated(trained_models.checkpoint(BOTH), options=masked)
    expected = [float(row[PROBABILITY + "happy"]) for row in expected]
    alone = both.predict(text=text)
    beside = both.predict([None, *audio[1:]], text)
    assert [p.probabilities["happy"] for p in alone] == pytest.approx(expected, abs=TOLERANCE)
    assert beside[0].probabilities == pytest.approx(alone[0].probabilities, abs=TOLERANCE)
    assert [p.modalities for p in beside[:2]] == [("text",), ("text", "speech")]
    assert beside[0].seconds is None
    assert both.predict(audio[0]).modalities == ("speech",)
    assert both.predict(audio[0]).text is None


def test_a_prediction_without_a_modality_has_a_warning(
    both, trained_models, toy_corpus, rows_of, caplog
):
    """Of a model that was trained without modality dropout; one warning for all such items."""
    audio, text = rows_of(toy_corpus)
    found = both.predict([None, None, audio[2]], text[:3])
    said = "without speech: the model was trained without --modality-dropout"
    assert [[w.startswith(said) for w in p.warnings] for p in found] == [[True], [True], []]
    assert found[0].as_dict()["warnings"] == list(found[0].warnings)
    assert "without text: " in both.predict(audio[0]).warnings[0]
    robust = trained_models.folder(f"{BOTH} --modality-dropout 0.2")
    assert RobertaEMOModel.from_pretrained(robust, "cpu").predict(text=text[0]).warnings == ()


@pytest.mark.parametrize(("dropout", "is_warned"), [(0.0, True), (0.2, False)])
def test_scoring_with_a_masked_modality_is_warned_of(
    dropout, is_warned, make_task, toy_corpus, caplog
):
    options = {"modality": "text+speech", "speech_input": "log_mel"}
    state = make_task(toy_corpus, **options).state_dict()
    scored = make_task(toy_corpus, from_checkpoint=True, mask_modality="speech", **options)
    scored.load_state_dict(state)
    config = OmegaConf.create({"_name": "robertaEMO_tiny", "modality_dropout": dropout})
    scored.build_model(merge_with_parent(RobertaEMOConfig(), config), from_checkpoint=True)
    scored.load_dataset("test")
    assert ("--mask-modality speech: without speech: the model was" in caplog.text) == is_warned


SECONDS = np.arange(11025) / 11025
TONE = 0.4 * np.sin(2 * np.pi * 220 * SECONDS * (1 + SECONDS))


def forms(folder):
    """One sound, quantized to 16 bits, in many forms."""
    short = np.round(TONE * 2**15).astype(np.int16)
    whole = short / 2**15
    rate = {"sample_rate": 11025}
    yield "float64", {"audio": whole, **rate}
    yield "int16", {"audio": short, **rate}
    yield "int32", {"audio": short.astype(np.int32) << 16, **rate}
    yield "two channels", {"audio": np.stack([whole * 0.5, whole * 1.5], axis=1), **rate}
    yield "a tensor", {"audio": torch.from_numpy(whole).requires_grad_(), **rate}
    for ending in ("wav", "flac"):
        soundfile.write(folder / f"tone.{ending}", short, 11025)
        yield ending, {"audio": folder / f"tone.{ending}"}
    yield "a path as text", {"audio": str(folder / "tone.wav")}


def test_a_sound_in_any_form_is_the_same_sound(both, tmp_path):
    answers = {name: both.predict(**given) for name, given in forms(tmp_path)}
    first = answers["float64"]
    assert first.seconds == pytest.approx(1.0)
    for name, answer in answers.items():
        assert np.abs(answer.embedding - first.embedding).max() < TOLERANCE, name
    coarse = np.round(TONE * 127 + 128).astype(np.uint8)
    for samples in (coarse, (coarse - 128.0) / 128):
        found = both.predict(samples, sample_rate=11025)
        assert found == answers.setdefault("8 bits", found)
    rough = torch.from_numpy(TONE).bfloat16()
    found = both.predict(rough, sample_rate=11025)
    assert found == both.predict(rough.float().numpy(), sample_rate=11025)
    soundfile.write(tmp_path / "tone.mp3", TONE, 16000)
    assert both.predict(tmp_path / "tone.mp3").label in both.labels


SECOND = np.zeros(16000)
# Codes, and parts of the sentence; of audio the sentence is data_prep's.
REFUSED = {
    "nothing": ({}, "item-empty", "the input"),
    "an item without anything": ({"text": ["a", None]}, "item-empty", "item 2"),
    "no text": ({"text": " \t\u200b"}, "text-empty", "the input"),
    "a number": ({"text": ["a", 3]}, "text-type", "item 2"),
    "lists of two lengths": ({"text": ["a"], "audio": [SECOND, SECOND]}, "batch-lengths-differ"),
    "a list beside one": ({"text": "a", "audio": [SECOND]}, "batch-mixed", "text"),
    "no rate": ({"audio": SECOND}, None, "the input", "sample_rate"),
    "a rate of nothing": ({"audio": SECOND, "sample_rate": 0}, None, "sample rate of 0"),
    "an undefined rate": ({"audio": SECOND, "sample_rate": np.nan}, None, "sample rate of nan"),
    "NaN": ({"audio": [SECOND, SECOND * np.nan], "sample_rate": 16000}, None, "item 2", "NaN"),
    "infinity": ({"audio": SECOND + np.inf, "sample_rate": 16000}, None, "infinite"),
    "no samples": ({"audio": np.zeros((0, 2)), "sample_rate": 16000}, None, "0 samples"),
    "too short": ({"audio": np.zeros(399), "sample_rate": 16000}, None, "24.9 ms", "25 ms"),
    "channels first": ({"audio": np.zeros((2, 999)), "sample_rate": 16000}, None, "transpose"),
    "three axes": ({"audio": np.zeros((2, 2, 2)), "sample_rate": 16000}, None, "(2, 2, 2)"),
    "words as samples": ({"audio": np.array(["a"]), "sample_rate": 16000}, None, "<U1"),
    "odd integers": ({"audio": np.zeros(999, np.int64), "sample_rate": 16000}, None, "int64"),
    "integers as floats": (
        {"audio": [SECOND, SECOND + 9000.0], "sample_rate": 16000},
        None,
        "item 2",
        "9000",
    ),
    "a tensor of nothing": (
        {"audio": torch.ones(999, device="meta"), "sample_rate": 1e4},
        "audio-type",
        "Tensor",
    ),
    "a name too long": ({"audio": ["a" * 300]}, None, "item 1", "File name too long"),
    "no file": ({"audio": ["gone.wav"]}, None, "item 1 (gone.wav)"),
    "no batch": ({"text": "a", "batch_size": 0}, "batch-size-invalid"),
    "half a batch": ({"text": "a", "batch_size": 1.5}, "batch-size-invalid"),
}


@pytest.mark.parametrize(
    ("given", "code", "fragments"), [(g, c, f) for g, c, *f in REFUSED.values()], ids=REFUSED
)
def test_items_that_cannot_be_predicted_are_refused(given, code, fragments, both):
    with pytest.raises(UsageError) as refused:
        both.predict(**given)
    assert code in (None, refused.value.code)
    for fragment in fragments:
        assert fragment in str(refused.value)


def test_broken_files_are_named(both, tmp_path):
    soundfile.write(tmp_path / "whole.wav", TONE, 11025)
    content = (tmp_path / "whole.wav").read_bytes()
    cases = {
        "cut.wav": (content[:9000], "truncated"),
        "empty.wav": (b"", "empty"),
        "text.wav": (b"no sound" * 99, "unreadable"),
        "slow.wav": (
            content[:24] + (1).to_bytes(4, "little") + content[28:],
            "sample rate of 1 Hz",
        ),
    }
    for name, (broken, fragment) in cases.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(UsageError, match=fragment) as refused:
            both.predict([tmp_path / "whole.wav", tmp_path / name])
        assert f"item 2 ({name})" in str(refused.value)
        assert "--data-raw" not in str(refused.value)


def test_a_model_refuses_what_it_does_not_read(trained_models):
    text_only = _open(trained_models, SEVERAL)
    with raises("modality-not-read"):
        text_only.predict(SECOND, "hello", sample_rate=16000)
    with raises("modality-not-read"):
        text_only.timeline(SECOND, sample_rate=16000)


def test_long_audio_is_truncated_as_in_training_which_is_logged_once(both, caplog):
    sound = np.random.default_rng(1).normal(0, 0.1, 21 * 16000)
    whole = both.predict(sound, sample_rate=16000)
    cut = both.predict(sound[: 20 * 16000], sample_rate=16000)
    assert whole.seconds == 21.0
    assert whole.truncations == (Truncation("speech", 20.0, 21.0, "seconds"),)
    assert cut.truncations == ()
    assert np.abs(whole.embedding - cut.embedding).max() < TOLERANCE
    both.predict(sound, sample_rate=16000)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    warnings = [warning for warning in warnings if "is missing in" not in warning]
    assert len(warnings) == 1
    assert "reads the first 20 of its 21 seconds" in warnings[0]
    assert warnings[0].endswith("timeline reads long audio whole")
    caplog.clear()
    both.predict(text="no " * 600)
    assert "reads the first 510 of its 1800 tokens" in caplog.text
    assert "timeline" not in caplog.text


def test_threads_may_predict_at_once(both):
    texts = [f"{word} " * n for n, word in enumerate(["party", "train", "rain", "news"], start=1)]
    alone = [both.predict(text=text).probabilities for text in texts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: both.predict(text=text).probabilities, texts * 5))
    assert found == alone * 5
    many = both.predict(text=texts * 5, batch_size=1)  # more than are held in memory at a time
    assert [prediction.probabilities for prediction in many] == found


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("part", ["head", "auxiliary_heads"])
def test_an_undefined_output_is_refused(part, value, trained_models):
    predictor = _open(trained_models, SEVERAL)
    with torch.no_grad():
        next(getattr(predictor.engine.model.module, part).parameters()).fill_(float(value))
    with raises("output-undefined") as error:
        predictor.predict(text=["rain"])
    assert str(error.value).startswith("item 1: ")


def test_plain_values(both):
    said = both.predict(text="A party\x0b — again…")
    assert said.text == "A party -- again..."  # in the form of the corpus, whose texts are clean
    assert json.loads(json.dumps(said.as_dict(embedding=True))) == {
        "label": said.label,
        "probabilities": said.probabilities,
        "values": {},
        "auxiliary": {},
        "modalities": ["text"],
        "text": said.text,
        "seconds": None,
        "warnings": list(said.warnings),
        "truncations": [],
        "transcript": None,
        "transcript_language": None,
        "embedding": said.embedding.tolist(),
    }
    assert both.predict(text=[]) == []


def test_a_device_that_is_not_there(trained_models):
    folder = trained_models.folder(BOTH)
    absent = f"cuda:{torch.cuda.device_count()}"
    unknown = dict.fromkeys(("abacus", "mps", "meta"), "device-unknown")
    for device, code in {absent: "device-missing", **unknown}.items():
        with raises(code):
            RobertaEMOModel.from_pretrained(folder, device)
    with raises("option-idle"):
        RobertaEMOModel.from_pretrained(folder, data="data")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_on_a_gpu(both, trained_models, toy_corpus, rows_of):
    audio, text = rows_of(toy_corpus)
    on_gpu = RobertaEMOModel.from_pretrained(trained_models.folder(BOTH))
    assert on_gpu.device.type == "cuda"
    for one, other in zip(both.predict(audio, text), on_gpu.predict(audio, text), strict=True):
        assert np.abs(one.embedding - other.embedding).max() < 1e-3


@pytest.fixture(scope="module")
def both(trained_models):
    return _open(trained_models, BOTH)


def _open(trained_models, options):
    return RobertaEMOModel.from_pretrained(trained_models.folder(options), device="cpu")
