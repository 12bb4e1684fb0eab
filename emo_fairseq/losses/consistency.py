"""How far two answers to the same utterance are apart: two passes, each with its own dropout.

Wu et al. 2021, "R-Drop: Regularized dropout for neural networks". Both passes get gradients.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision
from emo_fairseq.losses.regression import axis_mean


def symmetric_divergence(logits: Tensor, other_logits: Tensor) -> Tensor:
    """`1/2 KL(p || q) + 1/2 KL(q || p)` of each utterance, R-Drop's L_KL.

    Computed as `1/2 sum_k (p_k - q_k) (log p_k - log q_k)`, of which no term is negative. A class
    masked out by a logit of -inf in both passes adds 0.

    Args:
        logits: (B, K), of any floating type.
        other_logits: (B, K).

    Returns:
        (B,), 0 where the passes agree.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check_passes(logits, other_logits, "logits (B, K)")
    log_p, log_q = (full_precision(x).log_softmax(dim=1) for x in (logits, other_logits))
    difference = torch.where(log_p == log_q, 0.0, log_p - log_q)  # also of -inf and -inf
    return 0.5 * ((log_p.exp() - log_q.exp()) * difference).sum(dim=1)


def squared_difference(
    values: Tensor, other_values: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Squared difference of each utterance, averaged over the axes by :func:`axis_mean`.

    Args:
        values: (B, A), of any floating type.
        other_values: (B, A); unlike in a target, a NaN is no missing value and stays.
        axis_weights: A weights; None means equal ones.

    Returns:
        (B,), 0 where the passes agree.

    Raises:
        ValueError: shapes that do not fit, or weights :func:`axis_mean` refuses.
    """
    _check_passes(values, other_values, "values (B, A)")
    difference = full_precision(values) - full_precision(other_values)
    return axis_mean(difference.square(), axis_weights)


def _check_passes(one: Tensor, other: Tensor, expected: str) -> None:
    if one.ndim != 2 or one.shape != other.shape:
        shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise ValueError(f"expected {expected} of two passes, of one shape, got {shapes}")
