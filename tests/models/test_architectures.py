"""Named architectures: registered, filled in where nothing is given, written into checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from codes import raises
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY, MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY
from omegaconf import OmegaConf

from emo_fairseq.criterions.registered import (
    EmotionClassificationCriterion,
    EmotionPredictionCriterion,
    EmotionRegressionCriterion,
)
from emo_fairseq.models.architectures import ARCHITECTURES, complete_config
from emo_fairseq.models.roberta_emo import RobertaEMOConfig, RobertaEMOModel
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.tasks.emotion_prediction import EmotionPredictionTask

EMBEDDING = 1024


def test_the_registries_hold_our_classes() -> None:
    """fairseq silently keeps its own class where two bear one name."""
    assert TASK_REGISTRY["emotion_prediction"] is EmotionPredictionTask
    assert MODEL_REGISTRY["robertaEMO"] is RobertaEMOModel
    assert CRITERION_REGISTRY["emotion_classification"] is EmotionClassificationCriterion
    assert CRITERION_REGISTRY["emotion_regression"] is EmotionRegressionCriterion
    assert CRITERION_REGISTRY["emotion_prediction_cri"] is EmotionPredictionCriterion


@pytest.mark.parametrize(
    "arch", ["robertaEMO", "robertaEMO_large", "robertaEMO_tiny", "robertEMO_large"]
)
def test_every_architecture_is_registered(arch: str) -> None:
    assert ARCH_MODEL_REGISTRY[arch] is RobertaEMOModel
    assert set(ARCHITECTURES[arch]) == set(ARCHITECTURES["robertaEMO"])
    assert set(ARCHITECTURES[arch]) <= set(RobertaEMOConfig.__dataclass_fields__)


def test_an_architecture_fills_what_is_not_given() -> None:
    config = OmegaConf.structured(RobertaEMOConfig(text_embed_dim=64, encoder_attention_heads=2))
    config._name = "robertaEMO_tiny"
    complete_config(config, {})
    assert config.text_embed_dim == 64
    assert config.encoder_attention_heads == 2
    for field, value in ARCHITECTURES["robertaEMO_tiny"].items():
        if field not in ("text_embed_dim", "encoder_attention_heads"):
            assert config[field] == value
    assert config.embedding_dim == EMBEDDING


def test_a_filled_configuration_stays_as_it_is() -> None:
    """On restore it comes from the checkpoint, whatever the architecture says by then."""
    config = OmegaConf.structured(RobertaEMOConfig())
    config._name = "robertaEMO_tiny"
    complete_config(config, {})
    config._name = "robertaEMO_large"
    complete_config(config, {})
    assert config.text_encoder_layers == ARCHITECTURES["robertaEMO_tiny"]["text_encoder_layers"]


def test_without_a_name_the_base_size_is_filled_in() -> None:
    config = OmegaConf.structured(RobertaEMOConfig())
    complete_config(config, {})
    assert config.text_encoder_layers == 12


def test_the_task_writes_the_sizes_into_the_configuration(
    toy_corpus: Path, make_task: Callable[..., Any]
) -> None:
    """It is what the checkpoint saves."""
    config = OmegaConf.structured(RobertaEMOConfig(dropout=0.3))
    config._name = "robertaEMO_tiny"
    make_task(toy_corpus, modality="text").build_model(config)
    assert config.text_embed_dim == 128
    assert config.dropout == 0.3


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("[(8, 10, 5)]", [(8, 10, 5)]),
        ("[(8, 10, 5), (4, 3, 2)]", [(8, 10, 5), (4, 3, 2)]),
        ("[(8,10,5)]+[(4,3,2)]*2", [(8, 10, 5), (4, 3, 2), (4, 3, 2)]),
    ],
)
def test_convolutions_are_parsed(text: str, layers: list[tuple[int, int, int]]) -> None:
    assert parse_conv_layers(text, "--speech-conv-layers") == layers


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[(8, 10)]",
        "[(8, 10, 0)]",
        "[(8, 10, 5.0)]",
        "[(8, 10, 5)] * x",
        "[(8, 10, 5)] * 0",
        "(8, 10, 5)",
        "8",
        "[(8, 10, 5)",
        "'abc'",
        "[(n, 10, 5) for n in (1, 2)]",
        "__import__('os').system('true')",
        "[(__import__('os').getpid(), 10, 5)]",
    ],
)
def test_convolutions_that_are_none_and_code_are_refused(text: str) -> None:
    with raises("convolutions-syntax"):
        parse_conv_layers(text, "--speech-conv-layers")
