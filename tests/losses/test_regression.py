"""Losses on values against slow references, with missing targets and input that does not vary."""

import math
from collections.abc import Callable
from functools import partial

import audmetric
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from emo_fairseq.losses import absolute_error, axis_mean, concordance_loss, squared_error

N_ROWS, N_AXES = 12, 3
NAN = math.nan

Loss = Callable[..., Tensor]
VALUE_LOSSES: dict[str, Loss] = {
    "squared": squared_error,
    "squared_weighted": partial(squared_error, axis_weights=(1.0, 0.0, 3.0)),
    "absolute": absolute_error,
    "concordance": concordance_loss,
}
every_value_loss = pytest.mark.parametrize("loss", VALUE_LOSSES.values(), ids=VALUE_LOSSES)
per_utterance = pytest.mark.parametrize(
    "loss", [VALUE_LOSSES[name] for name in ("squared", "squared_weighted", "absolute")]
)


def random_values(missing: bool = True, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(12, 3) values and targets; with `missing` some NaN, two whole rows among them."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(N_ROWS, N_AXES, generator=generator, dtype=torch.float64)
    target = torch.rand(N_ROWS, N_AXES, generator=generator, dtype=torch.float64)
    if missing:
        target[[0, 3]] = NAN
        target[5, 1] = target[7, 2] = NAN
    return values, target


@pytest.mark.parametrize(("loss", "power"), [(squared_error, 2), (absolute_error, 1)])
@pytest.mark.parametrize("axis_weights", [None, (1.0, 0.0, 3.0)])
def test_errors_are_the_formula(
    loss: Loss, power: int, axis_weights: tuple[float, ...] | None
) -> None:
    values, target = random_values()
    weights = axis_weights or (1.0,) * N_AXES
    expected = []
    for row, truth in zip(values.tolist(), target.tolist(), strict=True):
        total = 0.0
        for axis in range(N_AXES):
            if not math.isnan(truth[axis]):
                total += weights[axis] * abs(row[axis] - truth[axis]) ** power
        expected.append(total / sum(weights))
    assert loss(values, target, axis_weights).tolist() == pytest.approx(expected, abs=1e-12)


def test_errors_agree_with_torch_where_nothing_is_missing() -> None:
    values, target = random_values(missing=False)
    torch.testing.assert_close(squared_error(values, target).mean(), F.mse_loss(values, target))
    torch.testing.assert_close(absolute_error(values, target).mean(), F.l1_loss(values, target))
    ones = [1.0] * N_AXES
    torch.testing.assert_close(squared_error(values, target, ones), squared_error(values, target))


@per_utterance
def test_error_of_a_batch_is_that_of_its_parts(loss: Loss) -> None:
    values, target = random_values()
    whole = loss(values, target)
    assert whole.shape == (N_ROWS,)
    assert whole[0] == whole[3] == 0.0
    for cut in (0, 1, 5):
        parts = [loss(values[:cut], target[:cut]), loss(values[cut:], target[cut:])]
        torch.testing.assert_close(torch.cat(parts), whole)


@every_value_loss
def test_missing_targets_give_no_gradient_and_no_nan(loss: Loss) -> None:
    values, target = random_values()
    missing = target.isnan()
    values = values.masked_fill(missing, math.inf)  # whatever the model says there
    values.requires_grad_()
    result = loss(values, target)
    result.sum().backward()
    assert result.isfinite().all()
    assert values.grad is not None
    assert values.grad.isfinite().all()
    assert (values.grad[missing] == 0).all()
    if loss is not VALUE_LOSSES["squared_weighted"]:  # one of its axes weighs nothing
        assert (values.grad[~missing] != 0).all()


@every_value_loss
def test_value_loss_gradients(loss: Loss) -> None:
    values, target = random_values()
    values.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, target), values)


@every_value_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_value_loss_of_half_precision_is_that_of_its_float32(
    loss: Loss, dtype: torch.dtype
) -> None:
    values, target = (tensor.to(dtype) for tensor in random_values())
    values = (3.0 * values).requires_grad_()
    result = loss(values, target)
    result.sum().backward()
    assert result.dtype == torch.float32
    assert result.isfinite().all()
    torch.testing.assert_close(result, loss(values.detach().float(), target.float()))
    assert values.grad is not None
    assert values.grad.isfinite().all()


@every_value_loss
def test_value_loss_does_not_broadcast(loss: Loss) -> None:
    for target in (torch.zeros(4), torch.zeros(4, 1), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match="one shape"):
            loss(torch.zeros(4, 3), target)


def test_absolute_error_has_no_slope_at_0() -> None:
    values = torch.ones(1, 1, requires_grad=True)
    absolute_error(values, torch.ones(1, 1)).sum().backward()
    assert values.grad is not None
    assert values.grad.item() == 0.0


def test_axis_mean_ignores_the_scale_of_the_weights() -> None:
    per_axis = torch.tensor([1.0, 2.0, 6.0])
    assert axis_mean(per_axis).item() == 3.0
    assert axis_mean(per_axis, (1, 0, 1)).item() == axis_mean(per_axis, (8, 0, 8)).item() == 3.5
    for wrong in ((1.0, 1.0), (0.0, 0.0, 0.0), (1.0, -1.0, 1.0), (1.0, NAN, 1.0)):
        with pytest.raises(ValueError, match=r"axis weights|axes"):
            axis_mean(per_axis, wrong)


def test_concordance_loss_is_1_minus_ccc_of_the_rows_that_are_measured() -> None:
    values, target = random_values()
    loss = concordance_loss(values, target)
    assert loss.shape == (N_AXES,)
    for axis in range(N_AXES):
        truth, prediction = target[:, axis].numpy(), values[:, axis].numpy()
        ccc = audmetric.concordance_cc(truth, prediction, ignore_nan=True)
        assert loss[axis].item() == pytest.approx(1.0 - ccc, abs=1e-12)


def test_concordance_loss_ignores_padding_rows_and_order() -> None:
    values, target = random_values()
    loss = concordance_loss(values, target)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(concordance_loss(values[order], target[order]), loss)
    padding = torch.full((5, N_AXES), NAN, dtype=torch.float64)
    padded = concordance_loss(torch.cat([values, padding]), torch.cat([target, padding]))
    torch.testing.assert_close(padded, loss)


def test_concordance_loss_of_perfect_and_opposite_values() -> None:
    target = torch.tensor([[-1.0], [0.0], [1.0]])
    assert concordance_loss(target, target).item() == pytest.approx(0.0, abs=1e-6)
    assert concordance_loss(-target, target).item() == pytest.approx(2.0)


ONE_OR_CONSTANT = {
    # name: values, target, loss; in each the gradient is 0
    "one utterance": ([0.3], [0.8], 1.0),
    "one utterance, exact": ([0.3], [0.3], 1.0),
    "one measured": ([0.3, 0.9, 0.1], [0.8, NAN, NAN], 1.0),
    "constant target": ([0.1, 0.5, 0.7], [0.4, 0.4, 0.4], 1.0),
    "both constant": ([0.1, 0.1, 0.1], [0.4, 0.4, 0.4], 1.0),
    "both constant, equal": ([0.1, 0.1, 0.1], [0.1, 0.1, 0.1], 1.0),
    "none measured": ([0.3, 0.9], [NAN, NAN], 0.0),
    "empty batch": ([], [], 0.0),
}


@pytest.mark.parametrize(
    ("values", "target", "expected"), ONE_OR_CONSTANT.values(), ids=ONE_OR_CONSTANT
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_concordance_loss_where_nothing_varies(
    values: list[float], target: list[float], expected: float, dtype: torch.dtype
) -> None:
    column = torch.tensor(values, dtype=dtype).reshape(-1, 1).requires_grad_()
    loss = concordance_loss(column, torch.tensor(target, dtype=dtype).reshape(-1, 1))
    loss.sum().backward()
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert column.grad is not None
    torch.testing.assert_close(column.grad, torch.zeros_like(column), atol=1e-5, rtol=0.0)


def test_concordance_loss_pulls_constant_values_towards_the_targets() -> None:
    values = torch.full((3, 1), 0.5, requires_grad=True)
    target = torch.tensor([[0.1], [0.5], [0.9]])
    loss = concordance_loss(values, target)
    loss.sum().backward()
    assert loss.item() == pytest.approx(1.0)
    assert values.grad is not None
    assert values.grad[0] > 0
    assert values.grad[2] < 0


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-8, 1e-12])
def test_concordance_gradient_stays_bounded_near_constant_input(spread: float) -> None:
    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    values = (0.5 + spread * noise[:, :1]).requires_grad_()
    loss = concordance_loss(values, 0.5 + spread * noise[:, 1:])
    loss.sum().backward()
    assert 0.0 <= loss.item() <= 2.0
    assert values.grad is not None
    assert values.grad.abs().max() <= 2.0 / math.sqrt(16 * 1e-8)
