"""Classification losses over K labels, and class weights."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from emo_fairseq.losses.precision import full_precision

RowLoss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K), target (B,) -> (B,)
DIFFICULTY_SHARE = 0.75  # factor of the mean difficulty; that of the rarity is 1


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy of each utterance.

    Equal to `torch.nn.functional.cross_entropy(reduction="none")`. With weights w, smoothing e and
    true class y: `(1 - e) * w_y * -log p_y  +  e / K * sum_k w_k * -log p_k`, so that each smoothed
    term has the weight of its own class. The caller chooses the divisor of a mean over the batch:
    torch's "mean" divides by the sum of w_y, a mean over utterances by B.

    Args:
        logits: (B, K), of any floating type.
        target: (B,), class ids.
        class_weights: (K,), see :func:`class_weights_from_counts`; None = 1 for each.
        label_smoothing: e in [0, 1].

    Returns:
        (B,); empty for an empty batch.

    Raises:
        ValueError: the shapes do not match, or the smoothing is outside [0, 1].
        RuntimeError: from torch, a target is outside [0, K), -100 included.

    >>> cross_entropy(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]))
    tensor([0.1269, 2.1269])
    """
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label smoothing {label_smoothing} is outside [0, 1]")
    log_probability = _log_probability(logits, target)  # (B, K)
    log_p = _select_target(log_probability, target)  # (B,)
    weights = _class_weights_like(log_probability, class_weights)  # (K,)
    loss = -weights[target] * log_p
    if label_smoothing == 0.0:
        return loss  # a class masked out by a logit of -inf would make the term below infinite
    uniform = -(weights * log_probability).mean(dim=1)  # (B,)
    return (1.0 - label_smoothing) * loss + label_smoothing * uniform


def soft_cross_entropy(
    logits: Tensor,
    shares: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross entropy to a distribution over labels of each utterance.

    With shares q, weights w and smoothing e: `sum_k w_k * q'_k * -log p_k` with
    `q' = (1 - e) * q + e / K`. Equal to :func:`cross_entropy` where one share is 1. The divisor of
    a weighted mean that agrees with it is the sum of `sum_k w_k * q_k`.

    Args:
        logits: (B, K), of any floating type.
        shares: (B, K), 0 or more, adding up to 1 in each row.
        class_weights: (K,), see :func:`class_weights_from_counts`; None = 1 for each.
        label_smoothing: e in [0, 1].

    Returns:
        (B,); empty for an empty batch.

    Raises:
        ValueError: the shapes do not match, or the smoothing is outside [0, 1].

    >>> soft_cross_entropy(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor([1.1269])
    """
    log_probability, smoothed, weights = _soft_target(
        logits, shares, class_weights, label_smoothing
    )
    # A class masked out by a logit of -inf adds nothing if it has no share.
    terms = (smoothed * log_probability).masked_fill(smoothed == 0.0, 0.0)  # (B, K)
    return -(weights * terms).sum(dim=1)


def soft_divergence(
    logits: Tensor,
    shares: Tensor,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the Kullback-Leibler divergence of p from a distribution over labels.

    `sum_k w_k * q'_k * (log q'_k - log p_k)`: :func:`soft_cross_entropy` without the entropy of the
    distribution, on which the model has no effect. The gradient is the same; the value is 0 at a
    perfect prediction (without class weights).

    Arguments, result and errors are those of :func:`soft_cross_entropy`.

    >>> soft_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.5, 0.5]]))
    tensor([0.])
    """
    _, smoothed, weights = _soft_target(logits, shares, class_weights, label_smoothing)
    entropy = -(weights * torch.xlogy(smoothed, smoothed)).sum(dim=1)
    return soft_cross_entropy(logits, shares, class_weights, label_smoothing) - entropy


def _soft_target(
    logits: Tensor, shares: Tensor, class_weights: Tensor | None, label_smoothing: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the log softmax (B, K), the smoothed shares (B, K) and the class weights (K,)."""
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label smoothing {label_smoothing} is outside [0, 1]")
    if logits.ndim != 2 or shares.shape != logits.shape:
        shapes = f"{tuple(logits.shape)} and {tuple(shares.shape)}"
        raise ValueError(f"expected logits (B, K) and shares (B, K), got {shapes}")
    log_probability = torch.log_softmax(full_precision(logits), dim=1)
    shares = shares.to(log_probability)
    smoothed = (1.0 - label_smoothing) * shares + label_smoothing / shares.shape[1]
    return log_probability, smoothed, _class_weights_like(log_probability, class_weights)


def focal(
    logits: Tensor, target: Tensor, gamma: float, class_weights: Tensor | None = None
) -> Tensor:
    """Return the focal loss of each utterance: `w_y * (1 - p_y)^gamma * -log p_y`.

    Lin et al. 2017, "Focal loss for dense object detection", eq. 5. It is never negative, decreases
    with p_y, and equals :func:`cross_entropy` for gamma 0. Where p_y rounds to 1, loss and gradient
    are 0, also for gamma below 1, whose power has an infinite slope there.

    Args:
        logits: (B, K), of any floating type.
        target: (B,), class ids.
        gamma: 0 or more; 2 in the paper.
        class_weights: (K,), the paper's alpha; None = 1 for each.

    Returns:
        (B,)

    Raises:
        ValueError: the shapes do not match, or gamma is negative.
        RuntimeError: from torch, a target is outside [0, K).

    >>> focal(torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 0]), gamma=2.0)
    tensor([0.0018, 1.6501])
    """
    if not gamma >= 0.0:
        raise ValueError(f"gamma {gamma} is negative: easy utterances would be weighted up")
    log_probability = _log_probability(logits, target)  # (B, K)
    log_p = _select_target(log_probability, target)  # (B,)
    weights = _class_weights_like(log_probability, class_weights)  # (K,)
    smallest = torch.finfo(log_p.dtype).tiny
    error = (-torch.expm1(log_p)).clamp_min(smallest)  # 1 - p_y, (B,)
    return -weights[target] * error**gamma * log_p


def binary_pairs(logits: Tensor, target: Tensor, row_loss: RowLoss = cross_entropy) -> Tensor:
    """Return the sum over K emotions of the binary loss "is it emotion k?" of each utterance.

    The legacy binary head: emotion k has columns 2k (no) and 2k + 1 (yes), and its true class is
    yes if and only if the target is k. Smoothing, focal weighting or class weights (no, yes) are
    options of the binary loss, e.g. `row_loss=partial(focal, gamma=2.0)`.

    Args:
        logits: (B, 2K), of any floating type.
        target: (B,), class ids in [0, K).
        row_loss: the binary loss, from logits (B * K, 2) and target (B * K,).

    Returns:
        (B,), a sum and not a mean over the emotions.

    Raises:
        ValueError: the shapes do not match, or the number of columns is odd.
        RuntimeError: from torch, a target is outside [0, K).

    >>> binary_pairs(torch.tensor([[0.0, 2.0, 2.0, 0.0]]), torch.tensor([0]))
    tensor([0.2539])
    """
    _check_rows(logits, target)
    n_emotions, odd = divmod(logits.shape[1], 2)
    if odd:
        raise ValueError(f"expected logits (B, 2K), a pair for each emotion, got {logits.shape[1]}")
    is_emotion = F.one_hot(target, n_emotions)  # (B, K)
    pairs = logits.reshape(-1, 2)  # (B, 2K) -> (B * K, 2), utterance by utterance
    return row_loss(pairs, is_emotion.reshape(-1)).reshape(-1, n_emotions).sum(dim=1)


def class_weights_from_counts(counts: Tensor, scheme: str, beta: float = 0.999) -> Tensor:
    """Return loss weights of K classes from their counts in the train split.

    Each scheme is normalized to mean 1 over the classes present. A class without utterances gets
    weight 0, not infinity: its rows in another split add nothing to the loss (the metrics still
    count them). "none" is exactly 1 for every class, present or not.

    Args:
        counts: (K,), utterances per class.
        scheme: "none"; "inverse_frequency", 1 / n_k; or "effective_number",
            (1 - beta) / (1 - beta^n_k) (Cui et al. 2019).
        beta: in [0, 1), used by "effective_number" only; with 0 the classes present have equal
            weights, towards 1 the weights approach "inverse_frequency".

    Returns:
        (K,), float32.

    Raises:
        ValueError: the scheme is unknown, beta is outside [0, 1), a count is negative or infinite,
            or all counts are 0.

    >>> class_weights_from_counts(torch.tensor([10, 30, 0]), "inverse_frequency")
    tensor([1.5000, 0.5000, 0.0000])
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
    weights = weights.masked_fill(weights.isinf(), 0.0)  # of a count of 0
    return (weights / weights[present].mean()).float()


def class_weights_from_difficulty(counts: Tensor, mean_difficulty: Tensor) -> Tensor:
    """Return loss weights of K classes from their rarity and their difficulty in the train split.

    `1 / (K freq_k) + 0.75 d_k`, with freq_k = n_k / N, normalized to mean 1 over the classes
    present, as :func:`class_weights_from_counts`. K is the number of classes present; a class
    without utterances gets weight 0 and does not affect the others. Equal difficulties do not
    result in "inverse_frequency", but in weights closer to each other.

    Args:
        counts: (K,), utterances per class.
        mean_difficulty: (K,), d_k, 0 or more; NaN where no utterance of the class has a difficulty,
            which is replaced by the mean of d_k over the other classes present. Ignored for a
            class without utterances.

    Returns:
        (K,), float32.

    Raises:
        ValueError: the shapes do not match, a count is invalid (see
            :func:`class_weights_from_counts`), a difficulty is negative or infinite, or all are
            NaN.

    >>> class_weights_from_difficulty(torch.tensor([10, 30]), torch.tensor([0.2, 0.4]))
    tensor([1.3797, 0.6203])
    """
    if counts.ndim != 1 or counts.shape != mean_difficulty.shape:
        shapes = f"{tuple(counts.shape)} and {tuple(mean_difficulty.shape)}"
        raise ValueError(f"expected counts and mean difficulties of one shape (K,), got {shapes}")
    # Validates the counts too.
    present = class_weights_from_counts(counts, "inverse_frequency") > 0
    n, difficulty = counts[present].double(), mean_difficulty.to(counts.device)[present].double()
    if (difficulty < 0).any() or difficulty.isinf().any() or difficulty.isnan().all():
        listed = difficulty.tolist()
        raise ValueError(f"mean difficulties must be 0 or more and not all NaN, got {listed}")
    difficulty = torch.where(difficulty.isnan(), difficulty.nanmean(), difficulty)
    weights = n.sum() / (len(n) * n) + DIFFICULTY_SHARE * difficulty  # of the classes present
    all_weights = torch.zeros(counts.shape, dtype=torch.float64, device=counts.device)
    all_weights[present] = weights / weights.mean()
    return all_weights.float()


CLASS_WEIGHTINGS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "none": lambda counts, beta: torch.ones_like(counts),
    "inverse_frequency": lambda counts, beta: 1.0 / counts,
    "effective_number": lambda counts, beta: (1.0 - beta) / (1.0 - beta**counts),
}


def _check_rows(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 2 or target.shape != logits.shape[:1]:
        shapes = f"{tuple(logits.shape)} and {tuple(target.shape)}"
        raise ValueError(f"expected logits (B, K) and target (B,), got {shapes}")


def _log_probability(logits: Tensor, target: Tensor) -> Tensor:
    """Check the shapes, and return the log softmax (B, K) of logits (B, K) in full precision."""
    _check_rows(logits, target)
    return torch.log_softmax(full_precision(logits), dim=1)


def _select_target(per_class: Tensor, target: Tensor) -> Tensor:
    return per_class.gather(1, target.unsqueeze(1)).squeeze(1)  # (B, K), (B,) -> (B,)


def _class_weights_like(log_probability: Tensor, class_weights: Tensor | None) -> Tensor:
    n_classes = log_probability.shape[1]
    if class_weights is None:
        return log_probability.new_ones(n_classes)
    if class_weights.shape != (n_classes,):
        raise ValueError(f"class weights {tuple(class_weights.shape)} for {n_classes} classes")
    return class_weights.to(log_probability)
