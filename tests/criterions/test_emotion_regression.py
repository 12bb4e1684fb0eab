"""Criterion `emotion_regression`: errors, CCC and mixtures, with axes that are missing."""

import math

import pytest
import torch
import torch.nn.functional as F
from codes import raises
from criterion_cases import (
    N_ROWS,
    logged,
    regression,
    run,
    value_batch,
)

from emo_fairseq.criterions.regression_loss import parse_mixture


def test_squared_and_absolute_error() -> None:
    values, truth = value_batch(missing=False)
    for name, reference in (("mse", F.mse_loss), ("l1", F.l1_loss)):
        loss, sample_size, _ = run(regression(regression_loss=name), values, truth)
        torch.testing.assert_close(loss / sample_size, reference(values, truth))


def test_the_ccc_loss_is_what_one_minus_ccc_is() -> None:
    values, truth = value_batch(missing=False)
    loss, sample_size, _ = run(regression(regression_loss="ccc"), values, truth)
    x, y = values.double(), truth.double()
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    spread = x.var(0, correction=0) + y.var(0, correction=0) + (x.mean(0) - y.mean(0)) ** 2
    expected = (1 - 2 * covariance / spread).mean()
    torch.testing.assert_close((loss / sample_size).double(), expected, atol=1e-6, rtol=0)


def test_a_mixture_is_the_weighted_sum() -> None:
    values, truth = value_batch()
    mixed, _, _ = run(regression(regression_loss="0.25*mse + 0.75*ccc"), values, truth)
    alone = [run(regression(regression_loss=n), values, truth)[0] for n in ("mse", "ccc")]
    torch.testing.assert_close(mixed, 0.25 * alone[0] + 0.75 * alone[1])


def test_axes_are_weighted() -> None:
    values, truth = value_batch(missing=False)
    loss, sample_size, _ = run(regression(axis_weights=[1.0, 0.0, 3.0]), values, truth)
    per_axis = (values - truth).square().mean(dim=0)
    torch.testing.assert_close(loss / sample_size, (per_axis[0] + 3 * per_axis[2]) / 4)


@pytest.mark.parametrize("name", ["mse", "l1", "ccc", "mse+l1+ccc"])
def test_a_missing_axis_adds_nothing_and_pulls_nothing(name: str) -> None:
    values, truth = value_batch()
    values.requires_grad_()
    loss, sample_size, _ = run(regression(regression_loss=name), values, truth)
    loss.backward()
    assert sample_size == N_ROWS
    assert loss.isfinite()
    assert values.grad is not None
    missing = truth.isnan()
    assert values.grad[missing].eq(0).all()
    assert values.grad[~missing].ne(0).any()


def test_a_batch_without_any_truth_has_loss_0() -> None:
    values = torch.rand(3, 3, requires_grad=True)
    loss, _, output = run(
        regression(regression_loss="mse+ccc"), values, torch.full((3, 3), math.nan)
    )
    loss.backward()
    assert loss == 0
    assert output["_moments"].eq(0).all()


@pytest.mark.parametrize(
    ("text", "mixture"),
    [
        ("mse", {"mse": 1.0}),
        ("0.5*mse+0.5*ccc", {"mse": 0.5, "ccc": 0.5}),
        (" 2 * l1 + ccc ", {"l1": 2.0, "ccc": 1.0}),
        ("1e-2*ccc", {"ccc": 0.01}),
    ],
)
def test_mixtures_are_parsed(text: str, mixture: dict[str, float]) -> None:
    assert parse_mixture(text) == mixture


@pytest.mark.parametrize(
    "text",
    ["", "mae", "mse+mse", "0*mse", "-1*mse", "x*mse", "mse*0.5", "mse+", "nan*mse", "inf*ccc"],
)
def test_mixtures_that_are_none_are_refused(text: str) -> None:
    with raises("option-malformed"):
        regression(regression_loss=text)


@pytest.mark.parametrize(
    ("weights", "code"),
    [
        ([1.0], "axis-weights-mismatch"),
        ([1.0, -1.0, 1.0], "option-out-of-range"),
        ([0.0, 0.0, 0.0], "option-out-of-range"),
    ],
)
def test_axis_weights_that_do_not_fit_are_refused(weights: list[float], code: str) -> None:
    with raises(code):
        regression(axis_weights=weights)


def test_the_logged_loss_is_not_divided_for_numbers() -> None:
    values, truth = torch.zeros(5, 3), torch.full((5, 3), 2.0)
    _, _, output = run(regression(), values, truth)
    assert logged(regression(), [output]) == pytest.approx(4.0)
