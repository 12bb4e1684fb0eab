"""The distance of two passes against slow references; it is symmetric, and 0 if they agree."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import Tensor

from emo_fairseq.losses import squared_difference, symmetric_divergence

N_ROWS, WIDTH = 12, 4
AXIS_WEIGHTS = (1.0, 0.0, 3.0, 2.0)

Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {
    "divergence": symmetric_divergence,
    "difference": squared_difference,
    "weighted": partial(squared_difference, axis_weights=AXIS_WEIGHTS),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def two_passes(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    one, other = 2.0 * torch.randn(2, N_ROWS, WIDTH, generator=generator, dtype=torch.float64)
    return one, other


def probabilities(row: list[float]) -> list[float]:
    exponentials = [math.exp(logit) for logit in row]
    return [exponential / sum(exponentials) for exponential in exponentials]


def test_divergence_is_the_formula() -> None:
    one, other = two_passes()
    expected = []
    for row, other_row in zip(one.tolist(), other.tolist(), strict=True):
        p, q = probabilities(row), probabilities(other_row)
        forth = back = 0.0
        for k in range(WIDTH):
            forth += p[k] * math.log(p[k] / q[k])
            back += q[k] * math.log(q[k] / p[k])
        expected.append(0.5 * (forth + back))
        assert expected[-1] == pytest.approx(
            (scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p)) / 2
        )
    assert symmetric_divergence(one, other).tolist() == pytest.approx(expected, abs=1e-12)


def test_divergence_and_its_gradient_are_those_of_rdrops_code() -> None:
    one, other = two_passes()
    one.requires_grad_()
    other.requires_grad_()
    log_p, log_q = one.log_softmax(dim=1), other.log_softmax(dim=1)
    both = F.kl_div(log_p, log_q.exp(), reduction="sum") + F.kl_div(
        log_q, log_p.exp(), reduction="sum"
    )
    loss = symmetric_divergence(one, other).sum()
    torch.testing.assert_close(loss, both / 2)
    torch.testing.assert_close(
        torch.autograd.grad(loss, (one, other)), torch.autograd.grad(both / 2, (one, other))
    )


@pytest.mark.parametrize("axis_weights", [None, AXIS_WEIGHTS])
def test_difference_is_the_formula(axis_weights: tuple[float, ...] | None) -> None:
    one, other = two_passes()
    weights = axis_weights or (1.0,) * WIDTH
    expected = []
    for row, other_row in zip(one.tolist(), other.tolist(), strict=True):
        total = 0.0
        for axis in range(WIDTH):
            total += weights[axis] * (row[axis] - other_row[axis]) ** 2
        expected.append(total / sum(weights))
    loss = squared_difference(one, other, axis_weights)
    assert loss.tolist() == pytest.approx(expected, abs=1e-12)


@every_loss
def test_passes_that_agree_lose_nothing_whichever_comes_first(loss: Loss) -> None:
    one, other = two_passes()
    torch.testing.assert_close(loss(one, other), loss(other, one))
    assert (loss(one, other) > 0.0).all()
    one.requires_grad_()
    same = loss(one, one.detach().clone())
    same.sum().backward()
    assert (same == 0.0).all()
    assert one.grad is not None
    assert (one.grad == 0.0).all()


@every_loss
def test_loss_of_a_batch_is_that_of_its_parts_in_any_order(loss: Loss) -> None:
    one, other = two_passes()
    whole = loss(one, other)
    assert whole.shape == (N_ROWS,)
    for cut in (0, 1, 5):
        parts = [loss(one[:cut], other[:cut]), loss(one[cut:], other[cut:])]
        torch.testing.assert_close(torch.cat(parts), whole)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(loss(one[order], other[order]), whole[order])


@every_loss
def test_gradients_of_both_passes(loss: Loss) -> None:
    one, other = (x[:4].requires_grad_() for x in two_passes())
    assert torch.autograd.gradcheck(loss, (one, other))


def test_a_class_masked_out_in_both_passes_adds_nothing() -> None:
    one = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    other = torch.tensor([[1.0, 0.0, -math.inf]], requires_grad=True)
    loss = symmetric_divergence(one, other)
    loss.sum().backward()
    torch.testing.assert_close(loss, symmetric_divergence(one[:, :2], other[:, :2]))
    for logits in (one, other):
        assert logits.grad is not None
        assert logits.grad.isfinite().all()


def test_a_value_that_is_no_number_is_not_missing() -> None:
    one, other = two_passes()
    other[3, 1] = math.nan
    loss = squared_difference(one, other)
    assert loss.isnan().tolist() == [row == 3 for row in range(N_ROWS)]


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_that_of_its_float32(loss: Loss, dtype: torch.dtype) -> None:
    one, other = ((1000.0 * x).to(dtype).requires_grad_() for x in two_passes())
    result = loss(one, other)
    (result.mean() / 1000.0).backward()
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    torch.testing.assert_close(result, loss(one.detach().float(), other.detach().float()))
    for x in (one, other):
        assert x.grad is not None
        assert x.grad.isfinite().all()


@every_loss
def test_shapes_that_do_not_fit_are_refused(loss: Loss) -> None:
    for shape in ((3,), (3, 1), (1, 4)):
        with pytest.raises(ValueError, match=r"of two passes, of one shape, got \(3, 4\) and"):
            loss(torch.zeros(3, 4), torch.zeros(shape))
    with pytest.raises(ValueError, match="of two passes"):
        loss(torch.zeros(4), torch.zeros(4))


def test_axis_weights_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="2 axis weights for 4 axes"):
        squared_difference(*two_passes(), axis_weights=(1.0, 2.0))
