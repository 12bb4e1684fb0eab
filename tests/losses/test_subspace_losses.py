"""Losses of shared and private subspaces, against loops and against what they are at the ends."""

import math

import pytest
import torch
from torch import Tensor

from emo_fairseq import losses


def slow_discrepancy(first: Tensor, second: Tensor, n_moments: int) -> float:
    """Sum of the Euclidean distances of the means and of the central moments up to the last."""
    sides = [[list(map(float, row)) for row in side] for side in (first, second)]
    width = first.size(1)
    means = [
        [math.fsum(row[d] for row in side) / len(side) for d in range(width)] for side in sides
    ]
    total = math.dist(*means)
    for order in range(2, n_moments + 1):
        moments = [
            [
                math.fsum((row[d] - mean[d]) ** order for row in side) / len(side)
                for d in range(width)
            ]
            for side, mean in zip(sides, means, strict=True)
        ]
        total += math.dist(*moments)
    return total


@pytest.mark.parametrize("n_moments", [1, 2, 5])
def test_discrepancy_equals_loops(n_moments: int) -> None:
    first, second = torch.rand(7, 3).double(), torch.rand(4, 3).double() ** 2
    value = losses.central_moment_discrepancy(first, second, n_moments)
    assert float(value) == pytest.approx(slow_discrepancy(first, second, n_moments), rel=1e-9)


def test_discrepancy_is_0_for_equal_sets_in_any_order_and_its_gradient_finite() -> None:
    first = torch.rand(6, 3).requires_grad_()
    value = losses.central_moment_discrepancy(first, first.detach().flip(0))
    assert float(value) == pytest.approx(0.0, abs=1e-6)
    value.backward()
    assert first.grad is not None
    assert first.grad.isfinite().all()


def test_more_moments_tell_apart_what_fewer_do_not() -> None:
    narrow, wide = torch.tensor([[0.4], [0.6]]), torch.tensor([[0.1], [0.9]])
    assert float(losses.central_moment_discrepancy(narrow, wide, 1)) == pytest.approx(0.0)
    assert float(losses.central_moment_discrepancy(narrow, wide, 2)) == pytest.approx(0.15)


def slow_orthogonality(first: Tensor, second: Tensor) -> float:
    sides = []
    for side in (first, second):
        centered = side - side.mean(dim=0)
        sides.append([row / row.norm() for row in centered])
    elements = [
        sum(float(a[i] * b[j]) for a, b in zip(*sides, strict=True)) ** 2
        for i in range(first.size(1))
        for j in range(second.size(1))
    ]
    return math.fsum(elements) / len(elements)


def test_orthogonality_equals_loops() -> None:
    first, second = torch.rand(6, 3).double(), torch.rand(6, 3).double()
    value = losses.orthogonality(first, second)
    assert float(value) == pytest.approx(slow_orthogonality(first, second), rel=1e-9)
    assert losses.orthogonality(first, second) == losses.orthogonality(second, first)


def test_what_varies_apart_does_not_overlap() -> None:
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    second = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, -1.0], [0.0, -1.0]])
    assert float(losses.orthogonality(first, second)) == pytest.approx(0.0)
    assert float(losses.orthogonality(first, first)) > 1.0


def test_no_rows_add_nothing_and_keep_the_graph() -> None:
    empty, full = torch.zeros(0, 3, requires_grad=True), torch.rand(2, 3)
    for value in (
        losses.central_moment_discrepancy(empty, full),
        losses.central_moment_discrepancy(full.requires_grad_(), empty),
        losses.orthogonality(empty, empty),
    ):
        assert float(value) == 0.0
        value.backward()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype: torch.dtype) -> None:
    first, second = torch.rand(5, 3).to(dtype), torch.rand(5, 3).to(dtype)
    for loss in (losses.central_moment_discrepancy, losses.orthogonality):
        assert torch.equal(loss(first, second), loss(first.float(), second.float()))
