"""Losses of distributions over labels: slow references, one-hot shares, and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from emo_fairseq import losses
from emo_fairseq.metrics import vote_rows

N_ROWS, N_LABELS = 7, 4
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.5])


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    logits = 2.0 * torch.randn(N_ROWS, N_LABELS)
    shares = torch.distributions.Dirichlet(0.5 * torch.ones(N_LABELS)).sample((N_ROWS,))
    shares[0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    return logits, shares


def slow_loss(
    logits: torch.Tensor, shares: torch.Tensor, weights: torch.Tensor, smoothing: float
) -> list[float]:
    rows = []
    for row, q in zip(logits.tolist(), shares.tolist(), strict=True):
        total = math.log(sum(math.exp(x) for x in row))
        smoothed = [(1 - smoothing) * share + smoothing / N_LABELS for share in q]
        terms = zip(weights.tolist(), smoothed, row, strict=True)
        rows.append(sum(w * share * (total - x) for w, share, x in terms))
    return rows


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_soft_cross_entropy_is_the_weighted_sum_over_labels(
    smoothing: float, weights: torch.Tensor | None
) -> None:
    logits, shares = drawn()
    found = losses.soft_cross_entropy(logits, shares, weights, smoothing)
    expected = slow_loss(logits, shares, torch.ones(4) if weights is None else weights, smoothing)
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_share_of_one_is_the_label(smoothing: float, weights: torch.Tensor | None) -> None:
    logits, _ = drawn()
    labels = torch.randint(0, N_LABELS, (N_ROWS,))
    shares = F.one_hot(labels, N_LABELS).double()
    soft = losses.soft_cross_entropy(logits, shares, weights, smoothing)
    hard = losses.cross_entropy(logits, labels, weights, smoothing)
    torch.testing.assert_close(soft, hard)


def test_torchs_own_loss_of_probabilities_is_the_same() -> None:
    logits, shares = drawn()
    found = losses.soft_cross_entropy(logits, shares, WEIGHTS)
    expected = F.cross_entropy(logits, shares, WEIGHTS, reduction="none")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_divergence_has_the_same_gradient(
    smoothing: float, weights: torch.Tensor | None
) -> None:
    logits, shares = drawn()
    gradients = []
    for loss in (losses.soft_cross_entropy, losses.soft_divergence):
        leaf = logits.clone().requires_grad_()
        loss(leaf, shares, weights, smoothing).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0] is not None
    assert gradients[0].abs().max() > 0.01


def test_the_divergence_is_torchs_and_0_at_the_shares_themselves() -> None:
    logits, shares = drawn()
    found = losses.soft_divergence(logits, shares)
    expected = F.kl_div(logits.log_softmax(dim=1), shares, reduction="none").sum(dim=1)
    torch.testing.assert_close(found, expected)
    full = shares.clamp(min=1e-3)
    full = full / full.sum(dim=1, keepdim=True)
    torch.testing.assert_close(
        losses.soft_divergence(full.log(), full), torch.zeros(N_ROWS), atol=1e-6, rtol=0
    )


def test_a_label_that_is_masked_out_and_has_no_share_adds_nothing() -> None:
    logits = torch.tensor([[0.0, 0.0, -torch.inf]])
    shares = torch.tensor([[0.5, 0.5, 0.0]])
    assert losses.soft_cross_entropy(logits, shares).item() == pytest.approx(math.log(2.0))


def test_an_empty_batch_has_no_loss() -> None:
    assert losses.soft_cross_entropy(torch.zeros(0, 3), torch.zeros(0, 3)).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "smoothing"), [((2, 2), 0.0), ((2,), 0.0), ((2, 3), 1.5), ((2, 3), -0.1)]
)
def test_other_shapes_and_shares_are_refused(shape: tuple[int, ...], smoothing: float) -> None:
    with pytest.raises(ValueError, match="shares|smoothing"):
        losses.soft_cross_entropy(torch.zeros(2, 3), torch.zeros(shape), None, smoothing)


def test_the_loss_is_the_cross_entropy_that_is_reported() -> None:
    logits, shares = drawn()
    probability = logits.double().softmax(dim=1)
    reported = vote_rows(shares.double(), probability)["votes"][:, 1]
    torch.testing.assert_close(
        losses.soft_cross_entropy(logits.double(), shares.double()), reported
    )
