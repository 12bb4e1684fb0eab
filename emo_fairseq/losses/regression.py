"""Losses over A real numbers, any of which may be missing."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision

CONCORDANCE_FLOOR = 1e-8  # for values of order 1: standard deviations and bias all below 1e-4


def squared_error(
    values: Tensor, target: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Squared error of each utterance, averaged over the axes by :func:`axis_mean`.

    A missing axis (NaN in the target) adds 0 and has gradient 0, and the divisor stays that of all
    axes: a measured value weighs the same whatever else its row lacks.

    Args:
        values: (B, A), of any floating type.
        target: (B, A), NaN where missing.
        axis_weights: A weights; None means equal ones.

    Returns:
        (B,); 0 for a row in which every axis is missing.

    Raises:
        ValueError: shapes that do not fit (no broadcasting), or weights :func:`axis_mean` refuses.
    """
    values, target, _ = _mask_missing(values, target)
    return axis_mean((values - target).square(), axis_weights)


def absolute_error(
    values: Tensor, target: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Absolute error of each utterance: :func:`squared_error` with |e| in place of e^2.

    The gradient at an error of exactly 0 is 0.
    """
    values, target, _ = _mask_missing(values, target)
    return axis_mean((values - target).abs(), axis_weights)


def concordance_loss(values: Tensor, target: Tensor) -> Tensor:
    """1 - CCC of each axis over the batch, from population moments (Lin 1989).

    `CCC = 2 cov / (var_values + var_target + (mean_values - mean_target)^2)`, over the utterances
    whose target is not NaN. A denominator below :data:`CONCORDANCE_FLOOR` counts as that floor, so
    loss and gradient stay finite. Where nothing varies together the CCC is 0 and the loss 1:

    - one measured utterance, or constant targets: loss 1, gradient 0 (nothing to learn from);
    - constant values, varying targets: loss 1, gradient towards the targets;
    - no measured utterance: loss 0, gradient 0.

    Args:
        values: (B, A), of any floating type.
        target: (B, A), NaN where missing.

    Returns:
        (A,), each in [0, 2]. Not a sum over utterances: parts of a batch do not add up.

    Raises:
        ValueError: shapes that do not fit.
    """
    values, target, observed = _mask_missing(values, target)  # (B, A) each
    n = observed.sum(dim=0).clamp_min(1)  # (A,)
    values_mean, target_mean = values.sum(dim=0) / n, target.sum(dim=0) / n  # (A,)
    values = (values - values_mean).masked_fill(~observed, 0.0)
    target = (target - target_mean).masked_fill(~observed, 0.0)
    covariance = (values * target).sum(dim=0) / n
    variances = (values.square() + target.square()).sum(dim=0) / n
    spread = variances + (values_mean - target_mean).square()
    concordance = 2.0 * covariance / spread.clamp_min(CONCORDANCE_FLOOR)
    return torch.where(observed.any(dim=0), 1.0 - concordance, 0.0)


def axis_mean(per_axis: Tensor, axis_weights: Sequence[float] | None = None) -> Tensor:
    """Weighted mean over the last dimension: `sum_a w_a x_a / sum_a w_a`; (..., A) -> (...).

    Raises:
        ValueError: not A weights, a negative or infinite one, or all of them 0.
    """
    if axis_weights is None:
        return per_axis.mean(dim=-1)
    if len(axis_weights) != per_axis.shape[-1]:
        raise ValueError(f"{len(axis_weights)} axis weights for {per_axis.shape[-1]} axes")
    total = math.fsum(axis_weights)
    if min(axis_weights) < 0 or not 0.0 < total < math.inf:
        raise ValueError(f"axis weights must be 0 or more and not all 0, got {list(axis_weights)}")
    weights = per_axis.new_tensor([weight / total for weight in axis_weights])  # (A,)
    return (per_axis * weights).sum(dim=-1)


def _mask_missing(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, target and observed mask, (B, A) each; where the target is NaN both are a constant 0.

    There `values - target` is 0 and its gradient too, even if the value itself is not finite.
    """
    if values.ndim != 2 or values.shape != target.shape:
        shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected values and target of one shape (B, A), got {shapes}")
    missing = target.isnan()
    values = full_precision(values).masked_fill(missing, 0.0)
    return values, target.to(values.dtype).masked_fill(missing, 0.0), ~missing
