"""Which fusion the options mean, how the registry builds it, and that it is written down."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from omegaconf import OmegaConf

from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.models.architectures import complete_config
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.fusions import (
    FUSIONS,
    build_fusion,
    cross_attention_query,
    fusion_name,
)

SPECS = {name: EncoderSpec("scratch:tiny", "tokens") for name in ("text", "speech")}


@pytest.mark.parametrize(
    ("given", "n_modalities", "expected"),
    [
        ({}, 2, "cross_attention"),
        ({}, 1, "concat"),
        ({"fusion": "concat"}, 2, "concat"),
        ({"fusion": "gated"}, 1, "gated"),
        ({"stack_up": True}, 2, "cross_attention"),
        ({"stack_up": True, "fusion": "cross_attention"}, 2, "cross_attention"),
    ],
)
def test_the_default_is_resolved(given: dict[str, Any], n_modalities: int, expected: str) -> None:
    assert fusion_name(RobertaEMOConfig(**given), n_modalities) == expected


@pytest.mark.parametrize(
    ("given", "n_modalities", "code"),
    [
        ({"stack_up": True}, 1, "fusion-of-one"),
        ({"fusion": "cross_attention"}, 1, "fusion-of-one"),
        ({"stack_up": True, "fusion": "concat"}, 2, "fusion-contradictory"),
    ],
)
def test_a_fusion_that_cannot_act_is_refused(
    given: dict[str, Any], n_modalities: int, code: str
) -> None:
    with raises(code):
        fusion_name(RobertaEMOConfig(**given), n_modalities)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "all_tokens"),
        ({"stack_up": True}, "first_token"),
        ({"cross_attention_query": "first_token"}, "first_token"),
        ({"stack_up": True, "cross_attention_query": "first_token"}, "first_token"),
    ],
)
def test_query_of_cross_attention(given: dict[str, Any], expected: str) -> None:
    assert cross_attention_query(RobertaEMOConfig(**given)) == expected


def test_stack_up_contradicts_all_tokens() -> None:
    with raises("query-contradictory"):
        cross_attention_query(RobertaEMOConfig(stack_up=True, cross_attention_query="all_tokens"))


@pytest.mark.parametrize("name", FUSIONS)
def test_the_registry_builds_what_the_options_name(name: str) -> None:
    config = OmegaConf.structured(RobertaEMOConfig(fusion=name))
    complete_config(config, SPECS)
    inputs = {modality: spec.input for modality, spec in SPECS.items()}
    fusion = build_fusion(config, dict.fromkeys(SPECS, 128), inputs).eval()
    frames = torch.randn(2, 3, 128), torch.zeros(2, 3, dtype=torch.bool)
    assert fusion(dict.fromkeys(SPECS, frames)).shape == (2, fusion.output_dim)


def test_the_resolved_fusion_is_saved(toy_corpus: Path, make_task: Callable[..., Any]) -> None:
    """The configuration of a checkpoint names it; one of before, which does not, still builds."""
    task = make_task(toy_corpus, modality="text")
    config = OmegaConf.structured(RobertaEMOConfig())
    config._name = "robertaEMO_tiny"
    model = task.build_model(config)
    assert str(config.fusion) == "concat"
    saved = OmegaConf.to_container(config, enum_to_str=True)
    del saved["fusion"]
    again = task.build_model(OmegaConf.create(saved), from_checkpoint=True)
    assert again.state_dict().keys() == model.state_dict().keys()
