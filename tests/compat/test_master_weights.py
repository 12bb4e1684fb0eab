"""The float32 weights in checkpoints of half-precision trainings."""

import copy
from typing import Any

import torch
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.optim import FP16Optimizer
from torch import nn

from emo_fairseq.compat import master_weights
from emo_fairseq.compat.master_weights import COPIES


def optimizer_of(model: nn.Module) -> Any:
    command = ["--task", "emotion_prediction", "--data", ".", "--arch", "robertaEMO_tiny"]
    command += ["--optimizer", "adam", "--lr", "0.01", "--bf16"]
    args = options.parse_args_and_arch(options.get_training_parser(), command)
    cfg = convert_namespace_to_omegaconf(args)
    return FP16Optimizer.build_optimizer(cfg, list(model.parameters()))


def test_weights_that_were_changed_in_a_checkpoint_are_trained_as_they_are() -> None:
    master_weights.apply()
    model = nn.Linear(4, 2).bfloat16()
    optimizer = optimizer_of(model)
    for _ in range(3):
        optimizer.backward(model(torch.rand(3, 4).bfloat16()).sum())
        optimizer.step()
        optimizer.zero_grad()
    state = copy.deepcopy(optimizer.state_dict())
    weight = state[COPIES][0]
    assert not torch.equal(weight, weight.bfloat16().float())
    with torch.no_grad():
        model.bias.fill_(2.0)  # as averaging does, which knows nothing of the optimizer
        model.weight[0, 0] = 3.0
    resumed = optimizer_of(model)
    resumed.load_state_dict(state)
    own_weight, own_bias = resumed.fp32_params
    assert own_bias.tolist() == [2.0, 2.0]
    assert own_weight[0, 0] == 3.0
    assert torch.equal(own_weight.flatten()[1:], weight.flatten()[1:])
