"""Padding of variable-length items."""

from collections.abc import Sequence

import torch
from torch import Tensor


def pad_right(items: Sequence[Tensor], value: float) -> tuple[Tensor, Tensor]:
    """Stack items along a new first axis, padded at the end of their own first axis.

    Args:
        items: B tensors (T_i, ...), all of one dtype and trailing shape.
        value: what padding holds.

    Returns:
        The batch (B, max T_i, ...), and its padding mask (B, max T_i), True = padding.
    """
    lengths = torch.tensor([len(item) for item in items])
    batch = torch.nn.utils.rnn.pad_sequence(list(items), batch_first=True, padding_value=value)
    padding_mask = torch.arange(batch.size(1)) >= lengths[:, None]
    return batch, padding_mask
