"""Domain-adversarial training: a classifier behind a gradient reversal layer.

Ganin & Lempitsky 2015, "Unsupervised domain adaptation by backpropagation".
"""

import math
from typing import Any

import torch
from torch import Tensor, nn


class Adversary(nn.Module):
    """Classify an embedding by a perceptron of one hidden layer behind a gradient reversal.

    Minimizing its loss trains the classifier to predict the class, and the encoder to remove the
    information about it. The weight of the reversed gradient is `adversary.reversal.scale`, see
    :func:`reversal_scale`.

    Args:
        embedding_dim: E.
        hidden_dim: width of the hidden layer.
        n_classes: K, such as the number of speakers in the train split.
        dropout: on the hidden layer.

    >>> adversary = Adversary(embedding_dim=8, hidden_dim=16, n_classes=5, dropout=0.1)
    >>> adversary(torch.randn(2, 8)).shape
    torch.Size([2, 5])
    """

    def __init__(self, embedding_dim: int, hidden_dim: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.reversal = GradientReversal()
        self.hidden = nn.Linear(embedding_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_dim, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings (B, E) to logits (B, K)."""
        hidden = self.hidden(self.reversal(embedding)).relu()  # (B, hidden_dim)
        return self.out_proj(self.dropout(hidden))


# -- Gradient reversal -----------------------------------------------------------------------------


def reverse_gradient(tensor: Tensor, scale: float) -> Tensor:
    """Return the tensor unchanged, and multiply its gradient by `-scale`.

    Args:
        tensor: of any shape.
        scale: factor of the reversed gradient, 0 or more.

    Returns:
        A tensor of the same shape and values.

    Raises:
        ValueError: the scale is negative, which would not reverse, or not finite.

    >>> x = torch.ones(2, requires_grad=True)
    >>> reverse_gradient(x, 0.5).sum().backward()
    >>> x.grad
    tensor([-0.5000, -0.5000])
    """
    if not 0.0 <= scale < math.inf:
        raise ValueError(f"scale {scale} of gradient reversal is not a finite number of 0 or more")
    return _ReverseGradient.apply(tensor, scale)


def reversal_scale(progress: float) -> float:
    """Return the paper's schedule of the scale: `2 / (1 + exp(-10 p)) - 1`, from 0 to 0.9999.

    Args:
        progress: p in [0, 1], the fraction of training that is completed.

    Raises:
        ValueError: the progress is outside [0, 1].

    >>> round(reversal_scale(0.0), 4), round(reversal_scale(0.5), 4), round(reversal_scale(1.0), 4)
    (0.0, 0.9866, 0.9999)
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress {progress} is outside [0, 1]")
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


class GradientReversal(nn.Module):
    """Apply :func:`reverse_gradient` with a scale that may be changed between updates.

    Args:
        scale: initial value of the attribute `scale`. It is not part of the state dict: its
            scheduler sets it again after a resume.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, tensor: Tensor) -> Tensor:
        """Return the tensor (...) unchanged.

        Raises:
            ValueError: the scale is negative or not finite.
        """
        return reverse_gradient(tensor, self.scale)

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, scale: float) -> Tensor:
        ctx.scale = scale
        return tensor.view_as(tensor)  # a view: for the input itself autograd would skip backward

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradient, None
