"""Losses as pure functions: no state, no fairseq, no reduction over the batch.

Each computes in float32 (float64 if the logits or values are float64), whatever the model's
precision, and returns one loss per utterance, (B,), so that the criterion alone decides on sum or
mean. Only :func:`concordance_loss` is a formula over the batch: it returns one loss per axis, (A,).
A class target is an id in [0, K); a NaN in a real-valued target is a missing value.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

RowLoss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K), target (B,) -> (B,)

CONCORDANCE_FLOOR = 1e-8  # for values of order 1: standard deviations and bias all below 1e-4


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy of each utterance, as `torch.nn.functional.cross_entropy(reduction="none")`.

    With weights w, smoothing e and true class y:
    `(1 - e) * w_y * -log p_y  +  e / K * sum_k w_k * -log p_k`, so each smoothed term carries the
    weight of its own class. A mean over the batch must choose its divisor: torch's "mean" divides
    by the sum of w_y, a mean over utterances by B.

    Args:
        logits: (B, K), of any floating type.
        target: (B,), class ids.
        class_weights: (K,), see :func:`class_weights_from_counts`; None means 1 for each.
        label_smoothing: e in [0, 1].

    Returns:
        (B,); empty for an empty batch.

    Raises:
        ValueError: shapes that do not fit, or a smoothing outside [0, 1].
        RuntimeError: a target outside [0, K), from torch; -100 is no exception.
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label smoothing {label_smoothing} is outside [0, 1]")
    log_probability = _log_probability(logits, target)  # (B, K)
    log_p = _of_target(log_probability, target)  # (B,)
    weights = _class_weights_like(log_probability, class_weights)  # (K,)
    loss = -weights[target] * log_p
    if label_smoothing == 0.0:
        return loss  # a class masked out by a logit of -inf would make the term below infinite
    uniform = -(weights * log_probability).mean(dim=1)  # (B,)
    return (1.0 - label_smoothing) * loss + label_smoothing * uniform


def focal(
    logits: Tensor, target: Tensor, gamma: float, class_weights: Tensor | None = None
) -> Tensor:
    """Focal loss of each utterance: `w_y * (1 - p_y)^gamma * -log p_y` (Lin et al. 2017, eq. 5).

    It is never negative, falls as p_y grows, and with gamma 0 equals :func:`cross_entropy`. Where
    p_y rounds to 1 both loss and gradient are 0, also for gamma below 1, whose power has an
    infinite slope there.

    Args:
        logits: (B, K), of any floating type.
        target: (B,), class ids.
        gamma: 0 or more; 2 in the paper.
        class_weights: (K,), the paper's alpha; None means 1 for every class.

    Returns:
        (B,)

    Raises:
        ValueError: shapes that do not fit, or a negative gamma.
        RuntimeError: a target outside [0, K), from torch.
    """
    if not gamma >= 0.0:
        raise ValueError(f"gamma {gamma} is negative: easy utterances would count more")
    log_probability = _log_probability(logits, target)  # (B, K)
    log_p = _of_target(log_probability, target)  # (B,)
    weights = _class_weights_like(log_probability, class_weights)  # (K,)
    smallest = torch.finfo(log_p.dtype).tiny
    doubt = (-torch.expm1(log_p)).clamp_min(smallest)  # 1 - p_y, (B,)
    return -weights[target] * doubt**gamma * log_p


def binary_pairs(logits: Tensor, target: Tensor, row_loss: RowLoss = cross_entropy) -> Tensor:
    """Sum over K emotions of the two-way loss "is it emotion k?": the seed's binary head.

    Emotion k owns columns 2k (no) and 2k + 1 (yes); its answer is yes if and only if target is k.
    Smoothing, focal weighting or a (no, yes) pair of class weights come with the two-way loss,
    e.g. `row_loss=partial(focal, gamma=2.0)`.

    Args:
        logits: (B, 2K), of any floating type.
        target: (B,), class ids in [0, K).
        row_loss: the loss of one two-way answer, from logits (B * K, 2) and target (B * K,).

    Returns:
        (B,), a sum and not a mean over the emotions.

    Raises:
        ValueError: shapes that do not fit, among them an odd number of columns.
        RuntimeError: a target outside [0, K), from torch.
    """
    _check_rows(logits, target)
    n_emotions, odd = divmod(logits.shape[1], 2)
    if odd:
        raise ValueError(f"expected logits (B, 2K), a pair for each emotion, got {logits.shape[1]}")
    is_emotion = F.one_hot(target, n_emotions)  # (B, K)
    pairs = logits.reshape(-1, 2)  # (B, 2K) -> (B * K, 2), utterance by utterance
    return row_loss(pairs, is_emotion.reshape(-1)).reshape(-1, n_emotions).sum(dim=1)


def class_weights_from_counts(counts: Tensor, scheme: str, beta: float = 0.999) -> Tensor:
    """Loss weights of K classes from their counts in the train split.

    Each scheme is normalised to mean 1 over the classes present. A class without a single
    utterance gets weight 0, never infinity: its rows in another split then add nothing to the
    loss (the metrics still count them). "none" is exactly 1 for every class, present or not.

    Args:
        counts: (K,), utterances per class.
        scheme: "none"; "inverse_frequency", 1 / n_k; or "effective_number",
            (1 - beta) / (1 - beta^n_k) (Cui et al. 2019).
        beta: in [0, 1), read by "effective_number" only; 0 gives equal weights to the classes
            present, near 1 it nears "inverse_frequency".

    Returns:
        (K,), float32.

    Raises:
        ValueError: an unknown scheme, a beta outside [0, 1), a negative or infinite count, or all
            counts 0.
    """
    if scheme not in CLASS_WEIGHTINGS:
        names = ", ".join(CLASS_WEIGHTINGS)
        raise ValueError(f"unknown class weighting {scheme!r}; choose one of {names}")
    if not 0.0 <= beta < 1.0:
        raise ValueError(f"beta {beta} is outside [0, 1)")
    counts = counts.double()
    present = counts > 0
    if not present.any() or not ((counts >= 0) & counts.isfinite()).all():
        raise ValueError(f"class counts must be 0 or more and not all 0, got {counts.tolist()}")
    weights = CLASS_WEIGHTINGS[scheme](counts, beta)
    weights = weights.masked_fill(weights.isinf(), 0.0)  # divided by the count 0
    return (weights / weights[present].mean()).float()


CLASS_WEIGHTINGS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "none": lambda counts, beta: torch.ones_like(counts),
    "inverse_frequency": lambda counts, beta: 1.0 / counts,
    "effective_number": lambda counts, beta: (1.0 - beta) / (1.0 - beta**counts),
}


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


def _full_precision(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _check_rows(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        shapes = f"{tuple(logits.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected logits (B, K) and target (B,), got {shapes}")


def _log_probability(logits: Tensor, target: Tensor) -> Tensor:
    """(B, K) logits -> (B, K) log softmax in full precision, once the shapes are known to fit."""
    _check_rows(logits, target)
    return torch.log_softmax(_full_precision(logits), dim=1)


def _of_target(per_class: Tensor, target: Tensor) -> Tensor:
    return per_class.gather(1, target.unsqueeze(1)).squeeze(1)  # (B, K), (B,) -> (B,)


def _class_weights_like(log_probability: Tensor, class_weights: Tensor | None) -> Tensor:
    n_classes = log_probability.shape[1]
    if class_weights is None:
        return log_probability.new_ones(n_classes)
    if class_weights.shape != (n_classes,):
        raise ValueError(f"class weights {tuple(class_weights.shape)} for {n_classes} classes")
    return class_weights.to(log_probability)


def _mask_missing(values: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values, target and observed mask, (B, A) each; where the target is NaN both are a constant 0.

    There `values - target` is 0 and its gradient too, even if the value itself is not finite.
    """
    if values.ndim != 2 or values.shape != target.shape:
        shapes = f"{tuple(values.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected values and target of one shape (B, A), got {shapes}")
    missing = target.isnan()
    values = _full_precision(values).masked_fill(missing, 0.0)
    return values, target.to(values.dtype).masked_fill(missing, 0.0), ~missing
