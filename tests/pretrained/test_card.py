"""Cards: which encoders are pretrained, which are read, which a training goes on with."""

import shutil
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
from emo_fairseq.models.build import left_out_encoders, load_pretrained
from emo_fairseq.tasks.encoders import check_same_encoders
from emo_fairseq.types import (
    FRAMES,
    TOKENS,
)

CARD = EncoderSpec("hf:models/bert", TOKENS, weights="a" * 64)
FEATURES = EncoderSpec("features:egemaps", FRAMES)


def states(card: EncoderSpec) -> dict[str, dict[str, Any]]:
    return {"text": card.to_state()}


def test_pretrained_is_what_others_have_trained() -> None:
    kinds = {"hf": True, "fairseq": True, "scratch": False, "features": False}
    found = {kind: EncoderSpec(f"{kind}:x", TOKENS).is_pretrained for kind in kinds}
    assert found == kinds


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (CARD, replace(CARD, weights="b" * 64)),
        (CARD, replace(CARD, spec="fairseq:models/bert")),
        (CARD, EncoderSpec("scratch:base", TOKENS)),
        (EncoderSpec("scratch:", TOKENS), CARD),
        (FEATURES, replace(FEATURES, spec="features:mfcc")),
    ],
)
def test_a_training_does_not_go_on_with_another_encoder(
    before: EncoderSpec, now: EncoderSpec
) -> None:
    message = f"--text-encoder {now.spec} .* trained with {before.spec} .* another --save-dir"
    with pytest.raises(UsageError, match=message):
        check_same_encoders(states(before), states(now))


def test_the_same_weights_may_lie_elsewhere() -> None:
    check_same_encoders(states(CARD), states(replace(CARD, spec="hf:elsewhere")))
    check_same_encoders(
        states(EncoderSpec("scratch:", TOKENS)), states(EncoderSpec("scratch:base", TOKENS))
    )
    check_same_encoders({}, states(CARD))  # checkpoints of old name none
    check_same_encoders(states(CARD), {})


def test_only_the_files_of_encoders_that_are_left_out_are_needed(tmp_path: Path) -> None:
    cards = {
        name: pretrained.describe("text", f"hf:{hf_folders.build(tmp_path / name, seed=seed)}")
        for seed, name in enumerate(("text", "speech"))
    }
    cfg = SimpleNamespace(text_tuning="lora", speech_tuning="full", video_tuning="frozen")
    only = left_out_encoders(cfg, {**cards, "video": FEATURES})
    assert only == ["text"]
    encoders = {name: nn.Module() for name in cards}
    for name, card in cards.items():
        encoders[name].backbone = pretrained.build(card)
    model = SimpleNamespace(encoders=encoders)
    before = [value.clone() for value in encoders["speech"].state_dict().values()]
    shutil.rmtree(tmp_path / "speech")
    load_pretrained(model, cards, only)
    expected = pretrained.build(cards["text"])
    pretrained.load(expected, cards["text"])
    for name, value in expected.state_dict().items():
        assert torch.equal(encoders["text"].backbone.state_dict()[name], value)
    assert all(map(torch.equal, before, encoders["speech"].state_dict().values()))
    with raises("weights-missing"):
        load_pretrained(model, cards)
