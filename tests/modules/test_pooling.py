"""Pooling over the frames that are not padding."""

from collections.abc import Callable

import torch
from torch import Tensor

from emo_fairseq.modules.pooling import masked_mean


def test_padding_does_not_count(random_mask: Callable[..., Tensor]) -> None:
    features = torch.randn(3, 5, 4)
    lengths = (5, 1, 3)
    pooled = masked_mean(features, random_mask(lengths))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(pooled[row], features[row, :length].mean(dim=0))


def test_a_row_of_nothing_but_padding_is_zero_and_has_no_gradient() -> None:
    features = torch.randn(2, 3, 4, requires_grad=True)
    mask = torch.tensor([[True] * 3, [False] * 3])
    pooled = masked_mean(features, mask)
    pooled.sum().backward()
    assert pooled[0].eq(0).all()
    assert features.grad is not None
    assert features.grad[0].eq(0).all()
    torch.testing.assert_close(features.grad[1], torch.full((3, 4), 1 / 3))


def test_the_type_is_kept() -> None:
    features = torch.randn(1, 3, 2, dtype=torch.float16)
    assert masked_mean(features, torch.zeros(1, 3, dtype=torch.bool)).dtype == torch.float16
