"""Losses over K labels, and the weights of classes in them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from emo_fairseq.losses.precision import full_precision

RowLoss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K), target (B,) -> (B,)
DIFFICULTY_SHARE = 0.75  # of a class's mean difficulty, beside 1 for a class as frequent as others


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

    Each scheme is normalized to mean 1 over the classes present. A class without a single
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


def class_weights_from_difficulty(counts: Tensor, mean_difficulty: Tensor) -> Tensor:
    """Loss weights of K classes from their rarity and their difficulty in the train split.

    `1 / (K freq_k) + 0.75 d_k`, with freq_k = n_k / N, normalized to mean 1 over the classes
    present, as :func:`class_weights_from_counts`: to sum K where all are. K is the number of
    classes present, and a class without a single utterance gets weight 0, so that it changes
    nothing for the others. Equal difficulties do not give "inverse_frequency": they draw the
    weights together.

    Args:
        counts: (K,), utterances per class.
        mean_difficulty: (K,), d_k, 0 or more; NaN where no utterance of the class has one, which
            reads as the mean of d_k over the classes present that have one, each counted once.
            That of a class without utterances is not read.

    Returns:
        (K,), float32.

    Raises:
        ValueError: shapes that do not fit, a count :func:`class_weights_from_counts` refuses, a
            negative or infinite difficulty, or none at all.
    """
    if counts.ndim != 1 or counts.shape != mean_difficulty.shape:
        shapes = f"{tuple(counts.shape)} and {tuple(mean_difficulty.shape)}"
        raise ValueError(f"expected counts and mean difficulties of one shape (K,), got {shapes}")
    # It also refuses counts without meaning.
    present = class_weights_from_counts(counts, "inverse_frequency") > 0
    n, difficulty = counts[present].double(), mean_difficulty.to(counts.device)[present].double()
    if (difficulty < 0).any() or difficulty.isinf().any() or difficulty.isnan().all():
        listed = difficulty.tolist()
        raise ValueError(f"mean difficulties must be 0 or more and not all NaN, got {listed}")
    difficulty = torch.where(difficulty.isnan(), difficulty.nanmean(), difficulty)
    weights = n.sum() / (len(n) * n) + DIFFICULTY_SHARE * difficulty  # of the classes present
    of_all = torch.zeros(counts.shape, dtype=torch.float64, device=counts.device)
    of_all[present] = weights / weights.mean()
    return of_all.float()


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
    """(B, K) logits -> (B, K) log softmax in full precision, once the shapes are known to fit."""
    _check_rows(logits, target)
    return torch.log_softmax(full_precision(logits), dim=1)


def _of_target(per_class: Tensor, target: Tensor) -> Tensor:
    return per_class.gather(1, target.unsqueeze(1)).squeeze(1)  # (B, K), (B,) -> (B,)


def _class_weights_like(log_probability: Tensor, class_weights: Tensor | None) -> Tensor:
    n_classes = log_probability.shape[1]
    if class_weights is None:
        return log_probability.new_ones(n_classes)
    if class_weights.shape != (n_classes,):
        raise ValueError(f"class weights {tuple(class_weights.shape)} for {n_classes} classes")
    return class_weights.to(log_probability)
