"""Standardization of vectors whose numbers differ much in scale."""

from typing import Any

import torch
from torch import Tensor, nn


class Standardization(nn.Module):
    """Bring each number of vectors to zero mean and unit deviation over the train split.

    The statistics are fitted once, before the first update: an output depends on its own row alone,
    as it would not with batch normalization, and is the same on any number of ranks.

    The statistics stay in single precision when the model is cast, and so does the arithmetic:
    bfloat16 rounds a number by up to 1/512 of itself, which is .2 deviations where the mean is 100
    of them.

    Args:
        shape: of what is standardized, the last dimensions of an input.

    Attributes:
        mean: (*shape) buffer.
        scale: (*shape) buffer, by which differences from the mean are multiplied; 0 where a number
            is constant.

    >>> standardize = Standardization(2)
    >>> standardize.set(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 4.0]))
    >>> standardize(torch.tensor([[3.0, 4.0]])).tolist()
    [[1.0, 1.0]]
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))

    @property
    def is_set(self) -> bool:
        """Whether it has the statistics of some rows."""
        return not bool((self.scale == 1).all())

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics, each with as many numbers as the shape; a deviation is above 0."""
        self.mean.copy_(mean.view_as(self.mean))
        self.scale.copy_((1 / std).view_as(self.scale))

    def forward(self, vectors: Tensor) -> Tensor:
        """Map (..., *shape) to the same, in the precision of the input."""
        precise = torch.promote_types(vectors.dtype, torch.float32)
        return ((vectors.to(precise) - self.mean) * self.scale).to(vectors.dtype)

    def _apply(self, fn: Any, recurse: bool = True) -> "Standardization":
        # .to(), .half() and .cuda() call this; buffers are moved, but not cast.
        return super()._apply(lambda x: x.to(fn(x).device), recurse)
