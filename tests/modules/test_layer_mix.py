"""The learned weighted sum of an encoder's layers."""

import math

import pytest
import torch

from emo_fairseq.modules.layer_mix import LayerMix


def test_it_starts_as_the_mean() -> None:
    states = torch.randn(2, 3, 5, 4)
    torch.testing.assert_close(LayerMix(5)(states), states.mean(dim=2))


@torch.no_grad()
def test_it_equals_loops() -> None:
    mix = LayerMix(3).double()
    mix.weights.copy_(torch.randn(3))
    states = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    total = sum(math.exp(weight) for weight in mix.weights)
    expected = torch.zeros(2, 4, 5, dtype=torch.float64)
    for layer, weight in enumerate(mix.weights):
        expected += math.exp(weight) / total * states[:, :, layer]
    torch.testing.assert_close(mix(states), expected, atol=1e-12, rtol=0)


@torch.no_grad()
def test_a_large_weight_picks_its_layer() -> None:
    mix = LayerMix(3)
    mix.weights[1] = 100.0
    states = torch.randn(2, 4, 3, 5)
    torch.testing.assert_close(mix(states), states[:, :, 1])


def test_gradients_are_right() -> None:
    mix = LayerMix(3).double()
    states = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, _: mix(x), (states, mix.weights))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    states = torch.randn(1, 2, 3, 2, dtype=dtype)
    for mix in (LayerMix(3), LayerMix(3).to(dtype)):
        assert mix(states).dtype == dtype


def test_another_number_of_layers_is_an_error() -> None:
    with pytest.raises(ValueError, match="4 hidden states for 3 weights: build LayerMix with"):
        LayerMix(3)(torch.randn(2, 4, 4, 5))
