"""Sums of tasks against loops, at log-variance 0, and where learned weights come to rest."""

import math

import pytest
import torch
from torch import Tensor

from emo_fairseq.losses import Likelihood, uncertainty_weighting

N_ROWS = 6
TASKS = ("emotion", "vad", "speaker")
LIKELIHOODS = {
    "emotion": Likelihood.SOFTMAX,
    "vad": Likelihood.GAUSSIAN,
    "speaker": Likelihood.SOFTMAX,
}


def random_losses(n_rows: int | None = N_ROWS, seed: int = 0) -> dict[str, Tensor]:
    """Losses of three tasks, (B,) each, or scalars if there is no number of rows."""
    generator = torch.Generator().manual_seed(seed)
    shape = () if n_rows is None else (n_rows,)
    return {
        task: 3.0 * torch.rand(shape, generator=generator, dtype=torch.float64) for task in TASKS
    }


def log_variances(*values: float) -> dict[str, Tensor]:
    return {
        task: torch.tensor(value, dtype=torch.float64)
        for task, value in zip(TASKS, values, strict=True)
    }


@pytest.mark.parametrize("n_rows", [None, N_ROWS, 0])
def test_uncertainty_weighting_is_the_formula(n_rows: int | None) -> None:
    """With the paper's sigma: L / sigma^2 or L / (2 sigma^2), plus log sigma."""
    losses = random_losses(n_rows)
    s = log_variances(0.7, -1.2, 0.1)
    expected = torch.zeros_like(losses["vad"])
    for task, loss in losses.items():
        sigma = math.sqrt(math.exp(s[task].item()))
        twice = 2.0 if task == "vad" else 1.0
        expected += loss / (twice * sigma**2) + math.log(sigma)
    combined = uncertainty_weighting(losses, s, LIKELIHOODS)
    assert combined.shape == expected.shape
    torch.testing.assert_close(combined, expected)


def test_gaussian_is_the_likelihood_of_a_normal_distribution() -> None:
    error, s = torch.tensor(0.8, dtype=torch.float64), log_variances(0.0, -0.6, 0.0)["vad"]
    combined = uncertainty_weighting(
        {"vad": error.square()}, {"vad": s}, {"vad": Likelihood.GAUSSIAN}
    )
    normal = torch.distributions.Normal(torch.zeros_like(error), (0.5 * s).exp())
    torch.testing.assert_close(combined, -normal.log_prob(error) - 0.5 * math.log(2.0 * math.pi))


def test_at_log_variance_0_it_is_a_fixed_sum_with_half_of_squared_errors() -> None:
    losses = random_losses()
    combined = uncertainty_weighting(losses, log_variances(0.0, 0.0, 0.0), LIKELIHOODS)
    fixed = losses["emotion"] + 0.5 * losses["vad"] + losses["speaker"]
    torch.testing.assert_close(combined, fixed)


def test_the_best_log_variance_is_that_of_the_docstring() -> None:
    losses = random_losses(None)
    best = log_variances(
        math.log(2.0 * losses["emotion"]),
        math.log(losses["vad"]),
        math.log(2.0 * losses["speaker"]),
    )
    for s in best.values():
        s.requires_grad_()
    least = uncertainty_weighting(losses, best, LIKELIHOODS)
    for slope in torch.autograd.grad(least, list(best.values())):
        assert slope.item() == pytest.approx(0.0, abs=1e-12)
    for change in (-0.5, 0.5):
        moved = {task: s + change for task, s in best.items()}
        assert uncertainty_weighting(losses, moved, LIKELIHOODS) > least


def test_the_order_of_tasks_and_rows_does_not_matter() -> None:
    losses, s = random_losses(), log_variances(0.7, -1.2, 0.1)
    combined = uncertainty_weighting(losses, s, LIKELIHOODS)
    turned = dict(reversed(losses.items()))
    torch.testing.assert_close(uncertainty_weighting(turned, s, LIKELIHOODS), combined)
    order = torch.randperm(N_ROWS, generator=torch.Generator().manual_seed(1))
    shuffled = {task: loss[order] for task, loss in losses.items()}
    torch.testing.assert_close(uncertainty_weighting(shuffled, s, LIKELIHOODS), combined[order])


def test_gradients_of_losses_and_log_variances() -> None:
    inputs = [*random_losses().values(), *log_variances(0.7, -1.2, 0.1).values()]

    def combined(*tensors: Tensor) -> Tensor:
        losses = dict(zip(TASKS, tensors[:3], strict=True))
        s = dict(zip(TASKS, tensors[3:], strict=True))
        return uncertainty_weighting(losses, s, LIKELIHOODS)

    assert torch.autograd.gradcheck(combined, [x.requires_grad_() for x in inputs])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_that_of_its_float32(dtype: torch.dtype) -> None:
    """exp(12) and 1000 times a loss overflow float16."""
    losses = {task: (1000.0 * loss).to(dtype) for task, loss in random_losses().items()}
    s = {task: v.to(dtype).requires_grad_() for task, v in log_variances(-12.0, 0.5, 12.0).items()}
    combined = uncertainty_weighting(losses, s, LIKELIHOODS)
    assert combined.dtype == torch.float32
    assert combined.isfinite().all()
    in_float32 = uncertainty_weighting(
        {task: loss.float() for task, loss in losses.items()},
        {task: value.float() for task, value in s.items()},
        LIKELIHOODS,
    )
    torch.testing.assert_close(combined, in_float32)


def test_tasks_that_do_not_fit_are_refused() -> None:
    losses, s = random_losses(), log_variances(0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match=r"and log-variances of \['vad'\]"):
        uncertainty_weighting(losses, {"vad": s["vad"]}, LIKELIHOODS)
    with pytest.raises(ValueError, match=r"and likelihoods of \[\]"):
        uncertainty_weighting(losses, s, {})
    with pytest.raises(ValueError, match=r"losses of tasks \[\]"):
        uncertainty_weighting({}, {}, {})
    with pytest.raises(ValueError, match=r"one shape, got emotion \(6,\), vad \(\)"):
        uncertainty_weighting({**losses, "vad": torch.tensor(1.0)}, s, LIKELIHOODS)
    with pytest.raises(ValueError, match=r"log-variance of task vad has shape \(1,\)"):
        uncertainty_weighting(losses, {**s, "vad": torch.zeros(1)}, LIKELIHOODS)
