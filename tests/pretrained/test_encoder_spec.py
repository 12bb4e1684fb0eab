"""Encoder specs: which are pretrained, which files are read, with which a training resumes."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import hf_folders
import pytest
import torch
from codes import raises
from torch import nn

from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.models.build import left_out_encoders, load_pretrained
from emo_fairseq.tasks.encoders import check_same_encoders
from emo_fairseq.types import (
    FRAMES,
    TOKENS,
)

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
    with raises("weights-missing"):
        load_pretrained(model, specs)
