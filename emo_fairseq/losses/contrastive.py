"""Weighted supervised contrastive loss over a batch, the batches of other ranks, and a queue."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from emo_fairseq.losses.contrastive_kernel import (
    STEEPEST,
    ContrastiveKernel,
    ContrastiveRows,
    loss_and_gradient,
)

Rows = slice | Tensor  # selection of M rows: a slice, a mask (M,) or indices
MOST_CLASSES = 2**24  # up to which float32 represents every integer
WEIGHT_FLOOR = 1e-30  # of a pair weight, relative to the largest in its class
FAR_WEIGHT = 0.1  # of "v3", for difficult utterances


class ContrastiveLoss(NamedTuple):
    """Loss and counts of :func:`supervised_contrastive`.

    Attributes:
        loss: scalar, a mean over anchors; with `own`, the contribution of these rows to it.
        n_anchors: number of anchors of known class, over all ranks.
        n_lone: number of anchors without a positive, which add nothing to the loss.
    """

    loss: Tensor
    n_anchors: int
    n_lone: int


def supervised_contrastive(
    embeddings: Tensor,
    labels: Tensor,
    temperature: float = 0.07,
    anchor_weights: Tensor | None = None,
    pair_weights: Tensor | None = None,
    anchors: Rows | None = None,
    own: Rows | None = None,
    block: int | None = None,
) -> ContrastiveLoss:
    """Return the weighted mean of L_out over the anchors that have a positive.

    Khosla et al. 2020, "Supervised contrastive learning", eq. 2.

    With z = e / |e|, s_ij = z_i.z_j / temperature and P(i) the rows of the class of i, without i:

        l_ip = -s_ip + log sum_{a != i} exp(s_ia)
        L_i = sum_{p in P(i)} w_p l_ip / sum_{p in P(i)} w_p
        loss = sum_i u_i L_i / sum_i u_i

    A lone anchor, which has no positive, is excluded from the mean but is a negative of the others.
    In contrast, the authors' code averages over all anchors, with 0 for lone ones (NaN in its first
    version), and pytorch-metric-learning over those whose loss is not 0, with 0 for a batch of one
    class. Without an anchor the loss and its gradient are 0.

    With several ranks, each passes the gathered rows of all ranks, and its slice of them as `own`:
    the losses of the ranks sum to the whole loss, and so do the gradients of the gathered rows.

    Computed in float32 (float64 for float64, and for temperatures below 1/70), under autocast too;
    the gradient has the dtype of the embeddings. Peak memory is about 3 (M, D) and the block, never
    (M, M); one (M, D) is kept for the backward pass.

    Args:
        embeddings: (M, D), of any floating type and length. A row of zeros has similarity 0 to all
            and gradient 0; one that is not finite makes the loss NaN.
        labels: (M,), class ids; a negative id is an unknown class, whose row is neither anchor nor
            positive nor negative.
        temperature: above 1/680.
        anchor_weights: (M,), u, used at the anchors; only their ratios matter. NaN (unknown
            difficulty) is replaced by the mean over the other anchors that have a positive. None,
            or all NaN or 0, means 1 for each.
        pair_weights: (M,), w, likewise; NaN is replaced by the mean over the other rows that are a
            positive of some anchor. Weights are at least 1e-30 of the largest in their class, so
            that an anchor whose positives all have weight 0 averages over them.
        anchors: the rows that are anchors; None = all. With a queue: the batch.
        own: the rows whose contribution to the loss is returned; None = all.
        block: number of anchors processed at a time; None = as many as fit into a few MiB. The
            result does not depend on it.

    Raises:
        ValueError: the shapes do not match, the labels are not integers, a weight is negative or
            infinite, or the temperature or block is too small.

    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    >>> result = supervised_contrastive(embeddings, torch.tensor([0, 0, 1]), temperature=0.5)
    >>> round(float(result.loss), 4), result.n_anchors, result.n_lone
    (0.1412, 3, 1)
    """
    _check(embeddings, labels, temperature, block)
    rows, n_anchors, n_lone = _rows(labels, anchor_weights, pair_weights, anchors, own)
    if torch.is_grad_enabled() and embeddings.requires_grad:
        loss = ContrastiveKernel.apply(embeddings, rows, temperature, block)
    else:
        loss, _ = loss_and_gradient(embeddings, rows, temperature, block, need_gradient=False)
    return ContrastiveLoss(loss, n_anchors, n_lone)


def contrastive_weights(
    weighting: str, difficulty: Tensor, alpha: float, beta: float, threshold: float
) -> tuple[Tensor | None, Tensor | None]:
    """Return anchor and pair weights for :func:`supervised_contrastive`; None where all are 1.

    | weighting   | anchor, u_i                            | pair, w_p       |
    |-------------|----------------------------------------|-----------------|
    | supervised  | 1                                      | 1               |
    | v1          | exp(-alpha d_i)                        | 1               |
    | v2          | exp(-beta d_i)                         | exp(-beta d_p)  |
    | v2_original | 1                                      | exp(-beta d_p)  |
    | v3          | 1 if d_i < threshold, 0.1 otherwise    | 1               |

    "v2" corresponds to the weight exp(-beta (d_i + d_p)) of a pair; "v2_original", as published,
    divides it by its sum over p, which cancels the factor of the anchor. With alpha 0, beta 0 or an
    infinite threshold all equal "supervised".

    Args:
        weighting: one of :data:`WEIGHTINGS`.
        difficulty: (M,), d, 0 or more; NaN where unknown, whose weight is NaN.
        alpha: used by "v1", 0 or more.
        beta: used by "v2" and "v2_original", 0 or more.
        threshold: used by "v3".

    Returns:
        Anchor weights and pair weights, (M,) or None each; float64, so that exp(-beta d) does not
        underflow.

    Raises:
        ValueError: the weighting is unknown, a difficulty, alpha or beta is negative or infinite,
            or the threshold is NaN.

    >>> difficulty = torch.tensor([0.0, 0.5])
    >>> contrastive_weights("v3", difficulty, alpha=1.0, beta=1.0, threshold=0.3)
    (tensor([1.0000, 0.1000], dtype=torch.float64), None)
    """
    if weighting not in WEIGHTINGS:
        names = ", ".join(WEIGHTINGS)
        raise ValueError(f"unknown contrastive weighting {weighting!r}; choose one of {names}")
    if not 0.0 <= alpha < math.inf or not 0.0 <= beta < math.inf or math.isnan(threshold):
        settings = f"alpha {alpha}, beta {beta}, threshold {threshold}"
        raise ValueError(f"alpha and beta must be 0 or more, the threshold a number: {settings}")
    difficulty = difficulty.double()
    _check_not_negative(difficulty, "difficulty")
    return WEIGHTINGS[weighting](difficulty, alpha, beta, threshold)


def _easy(difficulty: Tensor, slope: float) -> Tensor:
    return torch.exp(-slope * difficulty)


def _below(difficulty: Tensor, threshold: float) -> Tensor:
    weights = torch.where(difficulty < threshold, 1.0, FAR_WEIGHT).to(difficulty)
    return weights.masked_fill(difficulty.isnan(), math.nan)


Weighting = Callable[[Tensor, float, float, float], tuple[Tensor | None, Tensor | None]]
WEIGHTINGS: dict[str, Weighting] = {
    "supervised": lambda d, alpha, beta, threshold: (None, None),
    "v1": lambda d, alpha, beta, threshold: (_easy(d, alpha), None),
    "v2": lambda d, alpha, beta, threshold: (_easy(d, beta), _easy(d, beta)),
    "v2_original": lambda d, alpha, beta, threshold: (None, _easy(d, beta)),
    "v3": lambda d, alpha, beta, threshold: (_below(d, threshold), None),
}


def _rows(
    labels: Tensor,
    anchor_weights: Tensor | None,
    pair_weights: Tensor | None,
    anchors: Rows | None,
    own: Rows | None,
) -> tuple[ContrastiveRows, int, int]:
    """Return the rows of the kernel, the number of anchors, and that of lone ones.

    All tensors are (M,).
    """
    known = labels >= 0
    classes = labels.long().clamp_min(-1) + 1
    class_sizes = torch.bincount(classes)
    if len(class_sizes) > MOST_CLASSES:
        raise ValueError(f"a class id of {len(class_sizes) - 2} is not below {MOST_CLASSES - 1}")

    def class_sum(values: Tensor) -> Tensor:
        """Return for each row the sum over its class."""
        zeros = torch.zeros_like(class_sizes, dtype=torch.float64)
        return zeros.index_add_(0, classes, values.double())[classes]

    n_positives = class_sizes[classes] - 1
    is_anchor = known if anchors is None else known & _mask(anchors, labels)
    has_positive = is_anchor & (n_positives > 0)
    is_own = has_positive if own is None else has_positive & _mask(own, labels)
    counts = torch.stack([known, is_anchor, has_positive, is_own]).sum(dim=1)
    n_known, n_anchors, n_paired, n_own = counts.tolist()
    if anchor_weights is None:
        shares = is_own.double() / max(n_paired, 1)
    else:
        shares = _fill_unknown(anchor_weights, has_positive, "anchor weights") * has_positive
        highest = shares.max() if n_paired else 0.0
        shares = (shares / highest if highest > 0.0 else 1.0) * has_positive
        shares = shares / shares.sum().clamp_min(1.0) * is_own
    if pair_weights is None:
        weights, others = torch.ones_like(shares), n_positives
    else:
        is_positive = known & (class_sum(is_anchor) > is_anchor)
        weights = _fill_unknown(pair_weights, is_positive, "pair weights")
        highest = torch.zeros_like(class_sizes, dtype=torch.float64)
        highest = highest.scatter_reduce_(0, classes, weights, "amax")[classes]
        weights = torch.where(highest > 0.0, weights / highest, 1.0).clamp_min(WEIGHT_FLOOR)
        others = _sum_of_others(weights, class_sum)
    ratios = shares / others.clamp_min(WEIGHT_FLOOR)  # a lone row's share is 0
    columns = torch.stack([classes, shares, ratios, weights])
    order = None
    if n_own < len(labels):
        # Own anchors, then other rows of known class, then the rest.
        order = (known.char() + is_own).argsort(descending=True, stable=True)
        columns = columns[:, order[:n_known]]
    rows = ContrastiveRows(order, n_own, n_known, columns)
    return rows, n_anchors, n_anchors - n_paired


def _sum_of_others(weights: Tensor, class_sum: Callable[[Tensor], Tensor]) -> Tensor:
    """Return for each row the sum over the other rows of its class; the highest weight is 1.

    For a row of weight 1 it is not the total minus 1: the rest may be below the rounding error.
    """
    is_highest = weights == 1.0
    n_highest = class_sum(is_highest)
    lower = class_sum(weights.masked_fill(is_highest, 0.0))
    return torch.where(is_highest, lower + (n_highest - 1.0), lower + n_highest - weights)


def _fill_unknown(weights: Tensor, counted: Tensor, name: str) -> Tensor:
    """Return weights in float64, with NaN replaced by the mean of the counted ones, or by 1."""
    if weights.shape != counted.shape:
        raise ValueError(f"{name} {tuple(weights.shape)} for {len(counted)} rows")
    weights = weights.detach().double()
    _check_not_negative(weights, name)
    unknown = weights.isnan()
    mean = weights[counted & ~unknown].mean().nan_to_num(1.0)
    return torch.where(unknown, mean, weights)


def _mask(rows: Rows, labels: Tensor) -> Tensor:
    mask = torch.zeros_like(labels, dtype=torch.bool)
    mask[rows] = True
    return mask


def _check(embeddings: Tensor, labels: Tensor, temperature: float, block: int | None) -> None:
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        shapes = f"{tuple(embeddings.shape)} and {tuple(labels.shape)}"
        raise ValueError(f"expected embeddings (M, D) and labels (M,), got {shapes}")
    if not embeddings.is_floating_point() or labels.is_floating_point():
        types = f"{embeddings.dtype} and {labels.dtype}"
        raise ValueError(f"expected embeddings of a floating type and integer labels, got {types}")
    lowest = 1.0 / STEEPEST[torch.float64]
    if not lowest <= temperature < math.inf:
        raise ValueError(f"temperature {temperature} is not above {lowest:.4f}")
    if block is not None and block < 1:
        raise ValueError(f"block must be 1 or more, got {block}")


def _check_not_negative(values: Tensor, name: str) -> None:
    if not (values.isnan() | ((values >= 0.0) & values.isfinite())).all():
        raise ValueError(f"{name} must be 0 or more, or NaN where unknown")
