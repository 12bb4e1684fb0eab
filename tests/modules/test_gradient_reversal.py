"""Reversal changes gradients only, by the scale, and the scale rises as in the paper."""

import math

import pytest
import torch

from emo_fairseq.modules.adversary import (
    GradientReversal,
    reversal_scale,
    reverse_gradient,
)


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 5.0])
def test_values_pass_and_gradients_turn_round(scale: float) -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    result = reverse_gradient(x, scale)
    assert torch.equal(result, x)
    (plain,) = torch.autograd.grad((x**3).sum(), x)
    (reversed_,) = torch.autograd.grad((result**3).sum(), x)
    torch.testing.assert_close(reversed_, -scale * plain)


def test_second_derivatives_turn_round_too() -> None:
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(reverse_gradient(x, 0.5) ** 3, x, create_graph=True)
    assert slope.item() == pytest.approx(-0.5 * 12.0)
    (curvature,) = torch.autograd.grad(slope, x)
    # -0.5 * d/dx 3 r(x)^2 goes through r once more: (-0.5)^2 * 6 x.
    assert curvature.item() == pytest.approx(0.25 * 12.0)


def test_two_reversals_by_1_are_none() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda y: reverse_gradient(reverse_gradient(y, 1.0), 1.0).sin(), x
    )


def test_what_lies_before_climbs_and_what_lies_behind_descends() -> None:
    torch.manual_seed(0)
    before, behind = torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)
    x = torch.randn(5, 3)
    behind(before(x)).square().mean().backward()
    plain = [p.grad.clone() for layer in (before, behind) for p in layer.parameters()]
    before.zero_grad()
    behind.zero_grad()
    behind(GradientReversal(2.0)(before(x))).square().mean().backward()
    turned = [p.grad for layer in (before, behind) for p in layer.parameters()]
    for i, (one, other) in enumerate(zip(plain, turned, strict=True)):
        torch.testing.assert_close(other, (-2.0 if i < 2 else 1.0) * one)


def test_the_scale_may_be_set_and_is_not_saved() -> None:
    reversal = GradientReversal()
    x = torch.ones(2, requires_grad=True)
    for scale in (1.0, 0.25):
        reversal.scale = scale
        (slope,) = torch.autograd.grad(reversal(x).sum(), x)
        assert slope.tolist() == [-scale, -scale]
    assert reversal.state_dict() == {}
    assert "scale=0.25" in repr(reversal)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    x = torch.randn(3, dtype=dtype, requires_grad=True)
    result = reverse_gradient(x, 0.5)
    result.sum().backward()
    assert result.dtype == dtype
    assert x.grad is not None
    assert x.grad.tolist() == [-0.5] * 3


@pytest.mark.parametrize("scale", [-1.0, math.inf, math.nan])
def test_a_scale_without_meaning_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=f"scale {scale} of gradient reversal"):
        GradientReversal(scale)(torch.zeros(1))


def test_the_scale_rises_from_0_as_a_hyperbolic_tangent() -> None:
    assert reversal_scale(0.0) == 0.0
    progress = [i / 20 for i in range(21)]
    scales = [reversal_scale(p) for p in progress]
    assert scales == pytest.approx([math.tanh(5.0 * p) for p in progress])
    assert scales == sorted(set(scales))
    assert scales[-1] == pytest.approx(0.9999, abs=1e-4)


@pytest.mark.parametrize("progress", [-0.1, 1.1, math.nan])
def test_progress_out_of_range_is_refused(progress: float) -> None:
    with pytest.raises(ValueError, match=f"progress {progress} is outside"):
        reversal_scale(progress)
