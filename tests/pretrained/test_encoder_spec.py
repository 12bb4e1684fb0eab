"""Encoder specs: which are pretrained, which files are read, with which a training resumes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hf_folders
import pytest
import torch
from codes import raises
from torch import nn

from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, TOKENS, WAVEFORM
from emo_fairseq.models.build import left_out_encoders, load_pretrained
from emo_fairseq.tasks.encoders import check_same_encoders

SPEC = EncoderSpec("hf:models/bert", TOKENS, weights="a" * 64)
FEATURES = EncoderSpec("features:egemaps", FRAMES)


def test_pretrained_is_what_others_have_trained() -> None:
    kinds = {"hf": True, "fairseq": True, "scratch": False, "features": False}
    found = {kind: EncoderSpec(f"{kind}:x", TOKENS).is_pretrained for kind in kinds}
    assert found == kinds


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (SPEC, replace(SPEC, weights="b" * 64)),
        (SPEC, replace(SPEC, spec="fairseq:models/bert")),
        (SPEC, EncoderSpec("scratch:base", TOKENS)),
        (EncoderSpec("scratch:", TOKENS), SPEC),
        (FEATURES, replace(FEATURES, spec="features:mfcc")),
    ],
)
def test_a_training_is_not_resumed_with_another_encoder(
    before: EncoderSpec, now: EncoderSpec
) -> None:
    message = f"--text-encoder {now.spec} .* trained with {before.spec} .* another --save-dir"
    with pytest.raises(UsageError, match=message):
        check_same_encoders({"text": before}, {"text": now})


def test_the_same_weights_may_lie_elsewhere() -> None:
    check_same_encoders({"text": SPEC}, {"text": replace(SPEC, spec="hf:elsewhere")})
    check_same_encoders(
        {"text": EncoderSpec("scratch:", TOKENS)}, {"text": EncoderSpec("scratch:base", TOKENS)}
    )
    check_same_encoders({}, {"text": SPEC})  # checkpoints of old name none
    check_same_encoders({"text": SPEC}, {})


WHISPER = EncoderSpec(
    "hf:models/whisper", WAVEFORM, {"config": {"model_type": "whisper"}}, weights="a" * 64
)


def test_a_training_is_not_resumed_with_another_padding_of_whisper(
    make_task: Callable[..., Any], toy_corpus: Path, tmp_path: Path
) -> None:
    spec = f"hf:{hf_folders.build_whisper(tmp_path / 'whisper')}"
    options = {"modality": "speech", "speech_encoder": spec, "max_speech_seconds": 2.0}
    state = make_task(toy_corpus, **options, whisper_padding="none").state_dict()
    encoder = EncoderSpec(**state["encoders"]["speech"])
    assert encoder.whisper_padding == "none"
    assert not pretrained.build(encoder).padded_input
    make_task(toy_corpus, **options, whisper_padding="none").load_state_dict(state)
    with raises("resumed-encoder-other"):
        make_task(toy_corpus, **options, whisper_padding="full").load_state_dict(state)
    restored = make_task(toy_corpus, from_checkpoint=True, **options)
    restored.load_state_dict(state)
    assert restored.task_state.encoders["speech"] == encoder
    with raises("option-idle"):
        make_task(toy_corpus, modality="speech", speech_input="log_mel", whisper_padding="none")


def test_only_whispers_have_a_padding() -> None:
    assert WHISPER.whisper_padding == "full"
    assert WHISPER.with_whisper_padding("full") == WHISPER
    truncated = WHISPER.with_whisper_padding("none")
    assert truncated.whisper_padding == "none"
    assert truncated.with_whisper_padding("full") == WHISPER
    assert SPEC.with_whisper_padding("none") == SPEC


def test_only_the_files_of_encoders_that_are_left_out_are_needed(tmp_path: Path) -> None:
    specs = {
        name: pretrained.describe("text", f"hf:{hf_folders.build(tmp_path / name, seed=seed)}")
        for seed, name in enumerate(("text", "speech"))
    }
    cfg = SimpleNamespace(text_tuning="lora", speech_tuning="full", video_tuning="frozen")
    only = left_out_encoders(cfg, {**specs, "video": FEATURES})
    assert only == ["text"]
    encoders = {name: nn.Module() for name in specs}
    for name, spec in specs.items():
        encoders[name].backbone = pretrained.build(spec)
    model = SimpleNamespace(encoders=encoders)
    before = [value.clone() for value in encoders["speech"].state_dict().values()]
    shutil.rmtree(tmp_path / "speech")
    load_pretrained(model, specs, only)
    expected = pretrained.build(specs["text"])
    pretrained.load(expected, specs["text"])
    for name, value in expected.state_dict().items():
        assert torch.equal(encoders["text"].backbone.state_dict()[name], value)
    assert all(map(torch.equal, before, encoders["speech"].state_dict().values()))
    with raises("encoder-missing"):
        load_pretrained(model, specs)
