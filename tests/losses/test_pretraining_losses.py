"""Losses of pretraining against slow references."""

import math

import pytest
import torch
from torch import Tensor

from emo_fairseq.losses import (
    masked_token_losses,
    matched_views,
    momentum_contrastive,
    view_contrastive,
)


def views(n_rows: int = 5, width: int = 4, n_negatives: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(torch.randn(n, width).double() for n in (n_rows, n_rows, n_negatives))  # type: ignore[return-value]


def slow_nt_xent(first: Tensor, second: Tensor, temperature: float, negatives: Tensor) -> float:
    """Eq. 1 of SimCLR, pair by pair."""
    rows = [*first, *second, *negatives]
    n = len(first)

    def similarity(i: int, j: int) -> float:
        return float(rows[i] @ rows[j] / rows[i].norm() / rows[j].norm()) / temperature

    losses = []
    for i in range(2 * n):
        other = i + n if i < n else i - n
        denominator = sum(math.exp(similarity(i, a)) for a in range(len(rows)) if a != i)
        losses.append(-math.log(math.exp(similarity(i, other)) / denominator))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("n_negatives", [0, 3])
def test_views_against_the_formula(temperature: float, n_negatives: int) -> None:
    first, second, negatives = views(n_negatives=n_negatives)
    found = view_contrastive(first, second, temperature, negatives=negatives)
    assert float(found) == pytest.approx(slow_nt_xent(first, second, temperature, negatives))
    assert float(view_contrastive(second, first, temperature, negatives=negatives)) == (
        pytest.approx(float(found))
    )


def test_the_order_of_rows_does_not_matter() -> None:
    first, second, _ = views()
    order = torch.tensor([3, 0, 4, 2, 1])
    expected = view_contrastive(first, second)
    torch.testing.assert_close(view_contrastive(first[order], second[order]), expected)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(view_contrastive(first[order], second), expected)


def test_contributions_of_ranks_add_up() -> None:
    first, second, negatives = (x.requires_grad_() for x in views())
    whole = view_contrastive(first, second, own=None, negatives=negatives)
    parts = [
        view_contrastive(first, second, own=own, negatives=negatives)
        for own in (slice(0, 2), slice(2, 2), slice(2, 5))
    ]
    torch.testing.assert_close(sum(parts), whole)
    assert float(parts[1].detach()) == 0.0
    inputs = (first, second)
    torch.testing.assert_close(
        torch.autograd.grad(sum(parts), inputs), torch.autograd.grad(whole, inputs)
    )


@pytest.mark.parametrize("n_negatives", [0, 3])
def test_keys_against_the_formula(n_negatives: int) -> None:
    queries, keys, negatives = views(n_negatives=n_negatives)
    rows = [row / row.norm() for row in (*keys, *negatives)]
    expected = []
    for number, query in enumerate(queries):
        similarities = [float(query / query.norm() @ row) / 0.2 for row in rows]
        total = sum(math.exp(similarity) for similarity in similarities)
        expected.append(-math.log(math.exp(similarities[number]) / total))
    found = momentum_contrastive(queries, keys, 0.2, negatives=negatives)
    assert found.tolist() == pytest.approx(expected)
    part = momentum_contrastive(queries[1:3], keys, 0.2, slice(1, 3), negatives)
    assert part.tolist() == pytest.approx(expected[1:3])
    assert momentum_contrastive(queries[:0], keys, 0.2, slice(2, 2)).tolist() == []


def test_keys_have_no_gradient() -> None:
    queries, keys, negatives = (x.requires_grad_() for x in views(3, 4, 2))
    loss = momentum_contrastive(queries, keys, negatives=negatives).sum()
    of_queries, *others = torch.autograd.grad(loss, (queries, keys, negatives), allow_unused=True)
    assert others == [None, None]
    assert of_queries.abs().sum() > 0
    halved = momentum_contrastive(queries.half(), keys.half())
    assert halved.dtype == torch.float32


def test_gradient() -> None:
    first, second, negatives = (x.requires_grad_() for x in views(3, 3, 2))
    assert torch.autograd.gradcheck(
        lambda a, b: view_contrastive(a, b, 0.5, negatives=negatives.detach()), (first, second)
    )


def test_views_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        view_contrastive(torch.zeros(2, 3), torch.zeros(3, 3))


def test_matched_views_against_a_loop() -> None:
    first, noise, _ = views(12, 3)
    second = first + noise
    expected = []
    for i, one in enumerate(first):
        cosines = [float(one @ other / one.norm() / other.norm()) for other in second]
        expected.append(cosines[i] == max(cosines))
    assert matched_views(first, second).tolist() == expected
    assert {*expected} == {True, False}
    assert matched_views(first, second, slice(3, 7)).tolist() == expected[3:7]
    assert matched_views(first, second, slice(0, 0)).tolist() == []


def test_equal_rows_both_match() -> None:
    """Whatever their order, so that the count does not depend on the ranks."""
    row, other = torch.randn(2, 64)
    both = torch.stack([row, other, row])
    assert matched_views(both, both).tolist() == [True, True, True]


def test_masked_tokens_against_the_formula() -> None:
    logits, truth = torch.randn(4, 6), torch.tensor([0, 5, 2, 2])
    expected = [
        -float(row[label]) + math.log(sum(math.exp(x) for x in row.tolist()))
        for row, label in zip(logits, truth, strict=True)
    ]
    assert masked_token_losses(logits, truth).tolist() == pytest.approx(expected, rel=1e-5)
    halved = masked_token_losses(logits.half(), truth)
    assert halved.dtype == torch.float32
    assert halved.tolist() == pytest.approx(expected, rel=1e-2)
    assert masked_token_losses(logits[:0], truth[:0]).sum() == 0.0
