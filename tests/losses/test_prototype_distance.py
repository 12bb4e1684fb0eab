"""Distances to prototypes, and prototypes that move: against loops."""

import math

import pytest
import torch

from emo_fairseq.losses.prototypes import (
    moving_prototypes,
    prototype_distance,
)

NAN = math.nan


def vad_of(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, generator=generator, dtype=torch.float64)


def test_the_distance_is_euclidean_to_the_prototype_of_the_rows_class() -> None:
    vad, prototypes, labels = vad_of(5), vad_of(3, seed=1), torch.tensor([2, 0, 1, 1, 2])
    expected = [math.dist(vad[row], prototypes[label]) for row, label in enumerate(labels.tolist())]
    found = prototype_distance(vad, labels, prototypes)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_rows_may_have_prototypes_of_their_own() -> None:
    vad, labels = vad_of(2), torch.tensor([1, 0])
    prototypes = torch.stack([vad_of(2, seed=1), vad_of(2, seed=2)])
    found = prototype_distance(vad, labels, prototypes)
    each = [prototype_distance(vad[i : i + 1], labels[i : i + 1], prototypes[i]) for i in (0, 1)]
    torch.testing.assert_close(found, torch.cat(each))


def test_what_is_missing_is_unknown_and_never_0() -> None:
    vad, prototypes = vad_of(4), vad_of(3, seed=1)
    vad[0, 2], vad[1] = NAN, NAN
    prototypes[2] = NAN
    found = prototype_distance(vad, torch.tensor([0, 1, 2, -1]), prototypes)
    assert found.isnan().all()


def test_no_rows_have_no_distances() -> None:
    labels = torch.zeros(0, dtype=torch.long)
    assert prototype_distance(vad_of(0), labels, vad_of(3)).shape == (0,)


def test_gradients_of_prototypes_are_unit_vectors_and_finite_everywhere() -> None:
    vad, labels = vad_of(5), torch.tensor([0, 0, 1, -1, 2])
    prototypes = vad_of(3, seed=1)
    prototypes[1] = vad[2]  # at a distance of 0
    prototypes[2] = NAN
    prototypes.requires_grad_()
    prototype_distance(vad, labels, prototypes).nansum().backward()
    assert prototypes.grad is not None
    offsets = prototypes.detach()[0] - vad[:2]
    expected = (offsets / offsets.norm(dim=1, keepdim=True)).sum(dim=0)
    torch.testing.assert_close(prototypes.grad[0], expected)
    assert prototypes.grad[1:].eq(0).all()


def test_moving_prototypes_against_a_loop() -> None:
    vad, labels = vad_of(9), torch.tensor([0, 1, 1, 0, 2, -1, 2, 3, 3])
    vad[4, 1] = NAN  # the other row of class 2 counts alone
    vad[7:] = NAN  # class 3 stays
    prototypes = vad_of(5, seed=1)
    prototypes[1] = NAN  # takes the mean itself
    found = moving_prototypes(prototypes, vad, labels, momentum=0.8)
    for label in range(5):
        own = [
            row
            for row in range(9)
            if labels[row] == label and not any(math.isnan(x) for x in vad[row])
        ]
        expected = prototypes[label]
        if own:
            mean = torch.stack([vad[row] for row in own]).mean(dim=0)
            start = mean if label == 1 else prototypes[label]
            expected = 0.8 * start + 0.2 * mean
        torch.testing.assert_close(found[label], expected)


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_that_says_nothing_moves_nothing(n: int) -> None:
    prototypes = vad_of(2, seed=1)
    found = moving_prototypes(prototypes, vad_of(n), torch.full((n,), -1), momentum=0.0)
    assert torch.equal(found, prototypes)
    assert found is not prototypes


def test_without_momentum_prototypes_are_the_means_of_the_batch() -> None:
    vad = vad_of(4)
    found = moving_prototypes(vad_of(1, seed=1), vad, torch.zeros(4, dtype=torch.long), 0.0)
    torch.testing.assert_close(found, vad.mean(dim=0, keepdim=True))
