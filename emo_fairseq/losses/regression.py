"""Regression losses over A axes, on any of which the target may be missing."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from emo_fairseq.losses.precision import full_precision

CONCORDANCE_FLOOR = 1e-8  # for values of order 1: standard deviations and bias of about 1e-4


def squared_error(
    values: Tensor, target: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Return the squared error of each utterance, averaged over the axes by :func:`axis_mean`.

    A missing axis (NaN in the target) has loss and gradient 0, and the divisor is that of all axes:
    the weight of a value does not depend on which others its row lacks.

    Args:
        values: (B, A), of any floating type.
        target: (B, A), NaN where missing.
        axis_weights: A weights; None = equal.

    Returns:
        (B,); 0 for a row in which every axis is missing.

    Raises:
        ValueError: the shapes do not match (no broadcasting), or the weights are invalid.

    >>> squared_error(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, torch.nan]]))
    tensor([2.])
    """
    values, target, _ = _mask_missing(values, target)
    return axis_mean((values - target).square(), axis_weights)


def absolute_error(
    values: Tensor, target: Tensor, axis_weights: Sequence[float] | None = None
) -> Tensor:
    """Return the absolute error of each utterance: :func:`squared_error` with |e| for e^2.

    The gradient at an error of exactly 0 is 0.

    >>> absolute_error(torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, torch.nan]]))
    tensor([1.])
    """
    values, target, _ = _mask_missing(values, target)
    return axis_mean((values - target).abs(), axis_weights)


def concordance_loss(values: Tensor, target: Tensor) -> Tensor:
    """Return 1 - CCC of each axis over the batch, from population moments.

    Lin 1989, "A concordance correlation coefficient to evaluate reproducibility":
    `CCC = 2 cov / (var_values + var_target + (mean_values - mean_target)^2)`, over the utterances
    whose target is not NaN. The denominator is at least :data:`CONCORDANCE_FLOOR`, so that loss and
    gradient are finite. Degenerate batches:

    - one utterance with a target, or constant targets: loss 1, gradient 0;
    - constant values, varying targets: loss 1, gradient towards the targets;
    - no utterance with a target: loss 0, gradient 0.

    Args:
        values: (B, A), of any floating type.
        target: (B, A), NaN where missing.

    Returns:
        (A,), each in [0, 2]. The losses of parts of a batch do not sum to that of the batch.

    Raises:
        ValueError: the shapes do not match.

    >>> concordance_loss(torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([[0.0], [1.0], [2.0]]))
    tensor([0.3333])
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
    """Average over the last dimension with weights: `sum_a w_a x_a / sum_a w_a`.

    Args:
        per_axis: (..., A).
        axis_weights: A weights; None = equal.

    Returns:
        (...)

    Raises:
        ValueError: there are not A weights, one is negative or infinite, or all are 0.

    >>> axis_mean(torch.tensor([1.0, 4.0]), [2.0, 1.0])
    tensor(2.)
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
    """Return values, target and observed mask, (B, A) each; both are 0 where the target is NaN.

    There `values - target` and its gradient are 0, even if the value itself is not finite.
    """
    if values.ndim != 2 or values.shape != target.shape:
        shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected values and target of one shape (B, A), got {shapes}")
    missing = target.isnan()
    values = full_precision(values).masked_fill(missing, 0.0)
    return values, target.to(values.dtype).masked_fill(missing, 0.0), ~missing
