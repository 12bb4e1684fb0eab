"""The linear probe of a distribution: its solution is the minimum of the loss of votes."""

from typing import Any

import numpy as np
import pytest
import torch
from criterion_cases import classification

from emo_fairseq import losses
from emo_fairseq.metrics import shares
from emo_fairseq.tasks.probe import Pooled, score, solve

N_ROWS, N_DIMS, STRENGTH = 60, 3, 0.1


def drawn() -> Pooled:
    draw = np.random.default_rng(0)
    votes = draw.dirichlet(np.full(4, 0.5), N_ROWS)
    votes[:10] = np.eye(4)[draw.integers(0, 4, 10)]
    truth = np.concatenate([votes.argmax(axis=1)[:, None], votes], axis=1)
    truth[::7, 0] = -1
    vectors = draw.normal(size=(N_ROWS, N_DIMS)) + votes[:, :N_DIMS]
    return Pooled(vectors, np.ones((N_ROWS, N_DIMS), dtype=bool), torch.from_numpy(truth))


@pytest.mark.parametrize("options", [{}, {"class_weighting": "inverse_frequency"}])
def test_the_gradient_of_the_loss_is_0_at_the_solution(options: dict[str, Any]) -> None:
    rows, criterion = drawn(), classification("emotion_distribution", **options)
    solution = solve(rows, [STRENGTH], criterion)[STRENGTH]
    standardized = solution.standardization.apply(rows.vectors, rows.present)
    vectors = torch.from_numpy(standardized)
    weight, bias = (torch.from_numpy(x).requires_grad_() for x in solution.layer)
    class_weights = criterion.primary.class_weights
    of_rows = losses.soft_cross_entropy(
        vectors @ weight.T + bias, shares(rows.truth), class_weights
    )
    of_votes = criterion.primary.weights(rows.truth)
    total = N_ROWS if of_votes is None else of_votes.double().sum()
    (of_rows.sum() / total + STRENGTH / 2 * weight.square().sum()).backward()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4
    assert weight.detach().abs().max() > 0.1


def test_the_strength_may_be_chosen_by_the_votes() -> None:
    rows, criterion = drawn(), classification("emotion_distribution")
    solutions = solve(rows, [1e-3, 10.0], criterion)
    found = {
        strength: score(rows, solution.predict(rows), criterion, "votes_ce")
        for strength, solution in solutions.items()
    }
    assert found[1e-3] < found[10.0]
    loss = score(rows, solutions[1e-3].predict(rows), criterion, "loss")
    assert loss == pytest.approx(found[1e-3], abs=1e-6)
