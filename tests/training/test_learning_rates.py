"""Learning rates by hand, and through fairseq's optimizer."""

from collections.abc import Mapping
from typing import Any

import pytest
from fairseq.optim import build_optimizer
from omegaconf import OmegaConf
from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modules.lora import add_lora
from emo_fairseq.training.learning_rates import (
    assign_learning_rates,
    lr_scale,
    weight_decay_scale,
)


def make_model() -> nn.ModuleDict:
    return nn.ModuleDict(
        {
            "text": nn.ModuleList([nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 4)]),
            "speech": nn.ModuleList([nn.Conv1d(1, 4, 3), nn.Linear(4, 4)]),
            "norm": nn.LayerNorm(4),
            "head": nn.Linear(4, 2),
        }
    )


def blocks_of(model: nn.ModuleDict) -> Mapping[str, nn.ModuleList]:
    return {"text": model["text"], "speech": model["speech"]}


def scales_of(module: nn.Module) -> set[float]:
    return {round(lr_scale(parameter), 9) for parameter in module.parameters()}


def test_from_the_top_of_each_encoder_downwards() -> None:
    model = make_model()
    assign_learning_rates(
        blocks_of(model),
        model,
        encoder_scales={"text": 0.5},
        layer_decay={"text": 0.9},
        head_scale=10.0,
    )
    assert [scales_of(block) for block in model["text"]] == [{0.405}, {0.45}, {0.5}]
    assert [scales_of(block) for block in model["speech"]] == [{1.0}, {1.0}]
    assert scales_of(model["head"]) == scales_of(model["norm"]) == {10.0}


def test_one_decay_for_all() -> None:
    model = make_model()
    assign_learning_rates(blocks_of(model), model, layer_decay=0.5)
    assert [scales_of(block) for block in model["text"]] == [{0.25}, {0.5}, {1.0}]
    assert [scales_of(block) for block in model["speech"]] == [{0.5}, {1.0}]


def test_no_weight_decay_of_biases_and_norms() -> None:
    model = make_model()
    assign_learning_rates(blocks_of(model), model)
    spared = {n for n, p in model.named_parameters() if weight_decay_scale(p) == 0}
    assert spared == {n for n, _ in model.named_parameters() if n.endswith("bias")} | {
        "norm.weight"
    }


def test_a_shared_parameter_learns_with_the_topmost_block() -> None:
    model = make_model()
    model["text"][0].weight = nn.Parameter(model["text"][2].weight)
    model["text"][2].weight = model["text"][0].weight
    assign_learning_rates(blocks_of(model), model, layer_decay=0.5)
    assert lr_scale(model["text"][0].weight) == 1.0


def test_the_optimizer_makes_groups_of_them() -> None:
    model = make_model()
    add_lora(model["text"], ["1", "2"], 2, 4.0, 0.0)
    assign_learning_rates(blocks_of(model), model, layer_decay=0.5, head_scale=4.0)
    cfg: Any = OmegaConf.create({"_name": "emotion_adamw", "lr": [0.1], "weight_decay": 0.2})
    optimizer = build_optimizer(cfg, list(model.parameters()))
    found = {p: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    update = model["text"][1].parametrizations.weight[0]
    assert found[update.lora_A] == found[update.lora_B] == (0.05, 0.2)
    assert found[model["speech"][0].weight] == (0.05, 0.2)
    assert found[model["speech"][0].bias] == (0.05, 0.0)
    assert found[model["norm"].weight] == (0.4, 0.0)
    assert model["text"][0].weight not in found


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"encoder_scales": {"video": 1.0}}, "no encoder video, only text, speech"),
        ({"layer_decay": {"video": 1.0}}, "no encoder video"),
        ({"encoder_scales": {"text": 0.0}}, "scale of text, 0.0, is not positive"),
        ({"head_scale": -1.0}, "scale of the heads, -1.0"),
        ({"layer_decay": 1.5}, r"layer decay of text, 1.5, is not in \(0, 1\]"),
        ({"layer_decay": {"speech": 0.0}}, "layer decay of speech, 0.0"),
    ],
)
def test_mistakes(wishes: dict[str, Any], message: str) -> None:
    model = make_model()
    with pytest.raises(UsageError, match=message):
        assign_learning_rates(blocks_of(model), model, **wishes)
