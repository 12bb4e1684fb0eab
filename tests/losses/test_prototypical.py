"""The prototypical contrastive loss against sums over pairs, and against the contrastive loss."""

import math

import pytest
import torch
from torch import Tensor

from emo_fairseq.losses import prototypical_contrastive, supervised_contrastive

LABELS = torch.tensor([0, 1, 0, 2, -1, 1, 3])
N_CLASSES = 4


@pytest.fixture
def embeddings() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(len(LABELS), 5, generator=generator, dtype=torch.float64)
    return rows.requires_grad_()


@pytest.fixture
def prototypes() -> Tensor:
    """Of all classes but the last."""
    generator = torch.Generator().manual_seed(2)
    rows = torch.randn(N_CLASSES, 5, generator=generator, dtype=torch.float64)
    rows[3] = torch.nan
    return rows


def slow(embeddings: Tensor, prototypes: Tensor, temperature: float) -> tuple[Tensor, int]:
    """The mean over anchors with a positive, and the number of those without one."""

    def g(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(torch.cosine_similarity(a, b, dim=0) / temperature)

    losses, n_lone = [], 0
    labels = LABELS.tolist()
    for i, label in enumerate(labels):
        if label < 0:
            continue
        others = [j for j, other in enumerate(labels) if j != i and other >= 0]
        positives = [g(embeddings[i], embeddings[j]) for j in others if labels[j] == label]
        every = [g(embeddings[i], embeddings[j]) for j in others]
        for k, prototype in enumerate(prototypes):
            if not prototype.isnan().any():
                every.append(g(embeddings[i], prototype))
                positives += [every[-1]] if k == label else []
        if positives:
            losses.append(-torch.log(sum(positives) / len(positives) / sum(every)))
        else:
            n_lone += 1
    return torch.stack(losses).mean(), n_lone


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_against_sums_over_pairs(
    temperature: float, embeddings: Tensor, prototypes: Tensor
) -> None:
    result = prototypical_contrastive(embeddings, LABELS, prototypes, temperature)
    expected, n_lone = slow(embeddings, prototypes, temperature)
    torch.testing.assert_close(result.loss, expected)
    assert (result.n_anchors, result.n_lone) == (6, n_lone) == (6, 1)
    gradients = [torch.autograd.grad(loss, embeddings)[0] for loss in (result.loss, expected)]
    torch.testing.assert_close(*gradients)


def test_a_single_row_has_a_positive_and_negatives(prototypes: Tensor) -> None:
    anchor = prototypes[:1].clone()
    result = prototypical_contrastive(anchor, torch.tensor([0]), prototypes, 0.5)
    negatives = torch.cosine_similarity(anchor, prototypes[1:3], dim=1).div(0.5).exp().sum()
    assert float(result.loss) == pytest.approx(math.log(1 + negatives / math.exp(2)))


def test_of_pairs_without_prototypes_it_is_the_contrastive_loss(embeddings: Tensor) -> None:
    """Where an anchor has one positive, its mean is the same within the logarithm and outside."""
    rows, labels = embeddings[:4], torch.tensor([0, 1, 0, 1])
    found = prototypical_contrastive(rows, labels, rows[:0], 0.3)
    torch.testing.assert_close(found.loss, supervised_contrastive(rows, labels, 0.3).loss)


def test_parts_sum_to_the_whole(embeddings: Tensor, prototypes: Tensor) -> None:
    whole = prototypical_contrastive(embeddings, LABELS, prototypes)
    parts = [
        prototypical_contrastive(embeddings, LABELS, prototypes, own=own)
        for own in (slice(0, 3), slice(3, 3), slice(3, 7))
    ]
    torch.testing.assert_close(sum(part.loss for part in parts), whole.loss)


@pytest.mark.parametrize("labels", [[-1, -1], [3, 0], []])
def test_without_an_anchor_it_is_zero(labels: list[int], prototypes: Tensor) -> None:
    rows = torch.randn(len(labels), 5, dtype=torch.float64, requires_grad=True)
    none = torch.full_like(prototypes, torch.nan)
    result = prototypical_contrastive(rows, torch.tensor(labels, dtype=torch.long), none)
    assert result.loss == 0
    result.loss.backward()
    assert rows.grad is not None
    assert (rows.grad == 0).all()


def test_half_precision_is_computed_in_full(embeddings: Tensor, prototypes: Tensor) -> None:
    half = embeddings.detach().bfloat16().requires_grad_()
    result = prototypical_contrastive(half, LABELS, prototypes.bfloat16())
    expected = prototypical_contrastive(half.float(), LABELS, prototypes.bfloat16().float())
    assert result.loss.dtype == torch.float32
    torch.testing.assert_close(result.loss, expected.loss)
    result.loss.backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16
