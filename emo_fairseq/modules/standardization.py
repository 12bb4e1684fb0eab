"""Standardization of the outputs of a frozen encoder, whose numbers differ much in scale."""

import torch
from torch import Tensor, nn


class Standardization(nn.Module):
    """Bring each number of hidden states to zero mean and unit deviation over the train split.

    A frozen encoder has nothing that could adapt its outputs to the layers behind it. Those of
    Whisper and WavLM have a few numbers that are a hundred times as large as the others.

    Args:
        n_states: K, hidden states of a frame.
        width: C of each.

    Attributes:
        mean: (K, C) buffer.
        scale: (K, C) buffer, by which differences from the mean are multiplied; 0 where a number
            is constant.

    >>> standardize = Standardization(1, 2)
    >>> standardize.set(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 4.0]))
    >>> standardize(torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[False]])).tolist()
    [[[[1.0, 1.0]]]]
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, n_states: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_states, width))
        self.register_buffer("scale", torch.ones(n_states, width))

    @property
    def is_set(self) -> bool:
        """Whether it has the statistics of some rows."""
        return not bool((self.scale == 1).all())

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics, each (K x C,); a deviation is above 0."""
        self.mean.copy_(mean.view_as(self.mean))
        self.scale.copy_((1 / std).view_as(self.scale))

    def forward(self, states: Tensor, padding_mask: Tensor) -> Tensor:
        """Map hidden states (B, T, K, C) and their padding mask (B, T) to states (B, T, K, C).

        Padding becomes 0.
        """
        standardized = (states - self.mean.to(states.dtype)) * self.scale.to(states.dtype)
        return standardized.masked_fill(padding_mask[:, :, None, None], 0)
