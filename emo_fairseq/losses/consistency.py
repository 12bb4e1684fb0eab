"""Consistency losses between two forward passes with different dropout.

Wu et al. 2021, "R-Drop: Regularized dropout for neural networks". Both passes get gradients.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision
from emo_fairseq.losses.regression import axis_mean


def symmetric_divergence(logits: Tensor, other_logits: Tensor) -> Tensor:
    """Return R-Drop's L_KL of each utterance: `1/2 KL(p || q) + 1/2 KL(q || p)`.

    Computed as `1/2 sum_k (p_k - q_k) (log p_k - log q_k)`, of which no term is negative. A class
    masked out by a logit of -inf in both passes adds 0.

    Args:
        logits: (B, K), of any floating type.
        other_logits: (B, K).

    Returns:
        (B,), 0 where the passes agree.

    Raises:
        ValueError: the shapes do not match.

    >>> symmetric_divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([0.4621])
    """
    _check_passes(logits, other_logits, "logits (B, K)")
    log_p, log_q = (full_precision(x).log_softmax(dim=1) for x in (logits, other_logits))
    difference = torch.where(log_p == log_q, 0.0, log_p - log_q)  # also of -inf and -inf
    return 0.5 * ((log_p.exp() - log_q.exp()) * difference).sum(dim=1)


def squared_difference(
    values: Tensor, other_values: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Return the squared difference of each utterance, averaged over the axes by `axis_mean`.

    Args:
        values: (B, A), of any floating type.
        other_values: (B, A); unlike in a target, NaN is not a missing value and is propagated.
        axis_weights: A weights; None = equal.

    Returns:
        (B,), 0 where the passes agree.

    Raises:
        ValueError: the shapes do not match, or the weights are invalid (see `axis_mean`).

    >>> squared_difference(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 3.0]]))
    tensor([2.])
    """
    _check_passes(values, other_values, "values (B, A)")
    difference = full_precision(values) - full_precision(other_values)
    return axis_mean(difference.square(), axis_weights)


def _check_passes(first: Tensor, second: Tensor, expected: str) -> None:
    if first.ndim != 2 or first.shape != second.shape:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"expected {expected} of two passes, of one shape, got {shapes}")
