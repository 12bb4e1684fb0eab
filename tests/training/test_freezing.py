"""A frozen module stays frozen, whatever its parents are told."""

import copy

import torch
from torch import nn

from emo_fairseq.training.freezing import freeze


def test_a_frozen_module_stays_in_evaluation() -> None:
    frozen = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)))
    names = list(frozen.state_dict())
    freeze(frozen)
    model = nn.ModuleDict({"inner": nn.ModuleDict({"encoder": frozen}), "head": nn.Dropout(0.5)})
    assert model.train() is model
    assert model["head"].training
    assert not any(part.training for part in frozen.modules())
    assert model.eval() is model
    assert frozen.train() is frozen
    assert not any(part.training for part in frozen.modules())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert list(frozen.state_dict()) == names
    inputs = torch.randn(4, 3)
    assert torch.equal(frozen(inputs), frozen(inputs))
    assert not frozen(inputs).requires_grad


def test_a_copy_is_frozen_by_itself() -> None:
    frozen = nn.Dropout(0.5)
    freeze(frozen)
    duplicate = copy.deepcopy(frozen)
    assert duplicate.train() is duplicate
    assert not duplicate.training
