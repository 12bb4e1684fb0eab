"""What --probe implies, and what it refuses beside it."""

from typing import Any

import pytest
from codes import raises
from omegaconf import OmegaConf

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.tasks.config import EmotionPredictionConfig
from emo_fairseq.tasks.probe_options import (
    check_task_options,
    complete_model_options,
    parse_strengths,
)

BERT = EncoderSpec("hf:bert", "tokens")
WAVLM = EncoderSpec("hf:wavlm", "waveform")
LOG_MEL = EncoderSpec("scratch:", "log_mel")
WAVE = EncoderSpec("scratch:", "waveform")
STORED = EncoderSpec("features:x", "frames")


def completed(
    encoders: dict[str, EncoderSpec], task: dict[str, Any] | None = None, **given: Any
) -> Any:
    cfg = OmegaConf.structured(RobertaEMOConfig(**given))
    complete_model_options(cfg, EmotionPredictionConfig(**(task or {})), encoders)
    return cfg


def test_encoders_are_frozen_and_frames_are_taken_as_they_are() -> None:
    cfg = completed({"text": BERT, "speech": WAVLM, "video": STORED})
    assert (str(cfg.head), cfg.pooler_dropout, str(cfg.fusion)) == ("linear", 0.0, "concat")
    assert (str(cfg.text_tuning), str(cfg.speech_tuning)) == ("frozen", "frozen")
    assert (str(cfg.video_tuning), cfg.video_embed_dim) == ("full", 0)
    poolings = [str(getattr(cfg, f"{name}_pooling")) for name in ("text", "speech", "video")]
    assert poolings == ["mean", "mean_std", "mean_std"]
    assert completed({"speech": LOG_MEL}).speech_embed_dim == 0


def test_what_acts_is_left_as_it_is_given() -> None:
    cfg = completed({"text": BERT}, text_pooling="first", text_layer="2", text_tuning="frozen")
    assert (str(cfg.text_pooling), cfg.text_layer) == ("first", "2")


def test_frames_that_are_pooled_before_they_are_stored_are_not_pooled_again() -> None:
    cfg = completed({"speech": WAVLM}, speech_frozen_pooling="mean_std", speech_layer="concat")
    assert (str(cfg.speech_tuning), cfg.speech_pooling) == ("frozen", None)


def test_an_encoder_of_an_earlier_training_is_frozen() -> None:
    cfg = completed({"speech": WAVE}, {"init_speech_from": "x.pt"})
    assert str(cfg.speech_tuning) == "frozen"
    cfg = completed({"speech": STORED}, {"init_from": "x.pt"}, speech_pooling="attention")
    assert (str(cfg.speech_tuning), cfg.speech_embed_dim) == ("frozen", None)


@pytest.mark.parametrize(
    ("encoders", "given", "code"),
    [
        ({"speech": WAVE}, {}, "probe-without-encoder"),
        ({"text": EncoderSpec("scratch:", "tokens")}, {}, "probe-without-encoder"),
        ({"text": BERT}, {"text_tuning": "lora"}, "probe-contradicted"),
        ({"text": BERT, "speech": LOG_MEL}, {"fusion": "gated"}, "probe-contradicted"),
        ({"speech": LOG_MEL}, {"speech_embed_dim": 8}, "probe-contradicted"),
        ({"speech": LOG_MEL}, {"speech_pooling": "attention"}, "probe-contradicted"),
        ({"text": BERT}, {"text_layer": "weighted"}, "probe-contradicted"),
        ({"text": BERT}, {"lora_rank": 4}, "option-idle"),
        ({"text": BERT}, {"modality_dropout": 0.1}, "option-idle"),
    ],
)
def test_what_contradicts_it_is_refused(
    encoders: dict[str, EncoderSpec], given: dict[str, Any], code: str
) -> None:
    with raises(code):
        completed(encoders, **given)


@pytest.mark.parametrize(
    "given",
    [{"augment_gain": 3.0}, {"curriculum_order": "random"}, {"auxiliary_targets": "vad"}],
)
def test_options_of_updates_are_refused(given: dict[str, Any]) -> None:
    check_task_options(EmotionPredictionConfig())
    with raises("option-idle"):
        check_task_options(EmotionPredictionConfig(**given))


@pytest.mark.parametrize("text", ["", "0,1", "1,x", "-1", "inf", "nan"])
def test_strengths_are_positive_numbers(text: str) -> None:
    with raises("option-malformed"):
        parse_strengths(text)
