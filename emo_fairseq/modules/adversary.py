"""Adversaries: a classifier of what an embedding should not reveal, behind a reversed gradient."""

import math
from typing import Any

import torch
from torch import Tensor, nn


class Adversary(nn.Module):
    """Gradient reversal and a perceptron of one hidden layer (Ganin & Lempitsky 2015).

    Minimizing its loss trains it to tell the classes apart and the embedding to hide them. How
    hard the embedding hides is `adversary.reversal.scale`, see
    :func:`emo_fairseq.modules.adversary.reversal_scale`.

    Args:
        embedding_dim: E.
        hidden_dim: width of the hidden layer.
        n_classes: K, such as the number of speakers in the train split.
        dropout: on the hidden layer.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.reversal = GradientReversal()
        self.hidden = nn.Linear(embedding_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_dim, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) -> (B, K) logits."""
        hidden = self.hidden(self.reversal(embedding)).relu()  # (B, hidden_dim)
        return self.out_proj(self.dropout(hidden))


# -- Turn a gradient round, so that what learns behind teaches what lies before to unlearn it ------
# Ganin & Lempitsky 2015, "Unsupervised domain adaptation by backpropagation".


def reverse_gradient(tensor: Tensor, scale: float) -> Tensor:
    """The tensor itself; its gradient is multiplied by `-scale`.

    Raises:
        ValueError: a scale that is negative, which would not reverse, or not finite.
    """
    if not 0.0 <= scale < math.inf:
        raise ValueError(f"scale {scale} of gradient reversal is not a finite number of 0 or more")
    return _ReverseGradient.apply(tensor, scale)


def reversal_scale(progress: float) -> float:
    """The paper's rise of the scale over training: `2 / (1 + exp(-10 p)) - 1`, from 0 to 0.9999.

    Args:
        progress: p in [0, 1], the share of training done.

    Raises:
        ValueError: progress outside [0, 1].
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress {progress} is outside [0, 1]")
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


class GradientReversal(nn.Module):
    """:func:`reverse_gradient` with a scale that may be set between updates.

    Args:
        scale: the attribute's start. It is not saved: whoever schedules it sets it again.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, tensor: Tensor) -> Tensor:
        """(...) -> (...), unchanged.

        Raises:
            ValueError: the scale is none for :func:`reverse_gradient`.
        """
        return reverse_gradient(tensor, self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return tensor.view_as(tensor)  # not the input itself, which autograd would pass by

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None
