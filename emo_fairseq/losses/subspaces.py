"""Losses of shared and private subspaces of modalities.

Hazarika et al. 2020, "MISA: Modality-Invariant and -Specific Representations for Multimodal
Sentiment Analysis" (arXiv:2005.03545), section 3.5. Both are defined over the batch.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from emo_fairseq.losses.precision import full_precision

_LEAST_LENGTH = 1e-6  # of a vector; a shorter one is not made longer
_LEAST_SQUARE = 1e-12  # below the root of a norm, whose gradient at 0 is infinite


def central_moment_discrepancy(first: Tensor, second: Tensor, n_moments: int = 5) -> Tensor:
    """Return the distance of two distributions by their central moments (MISA, eq. 8).

    Zellinger et al. 2017 (arXiv:1702.08811): the Euclidean distance of the means, plus those of the
    central moments of each element from the second to the last. As in MISA, the elements are in
    [0, 1], so that no moment is scaled.

    Args:
        first: (N, d) vectors.
        second: (N', d) vectors.
        n_moments: 5 in both papers.

    Returns:
        Scalar; 0 where one of the sides has no vectors.

    >>> round(float(central_moment_discrepancy(torch.zeros(2, 4), torch.ones(2, 4))), 4)
    2.0
    """
    if not len(first) or not len(second):
        return full_precision(first).sum() * 0.0
    first, second = full_precision(first), full_precision(second)
    means = first.mean(dim=0), second.mean(dim=0)
    centered = first - means[0], second - means[1]
    total = _distance(*means)
    for order in range(2, n_moments + 1):
        moments = [(side**order).mean(dim=0) for side in centered]
        total = total + _distance(moments[0], moments[1])
    return total


def _distance(first: Tensor, second: Tensor) -> Tensor:
    squared = (first - second).square().sum()
    return torch.where(squared > _LEAST_SQUARE, squared.clamp_min(_LEAST_SQUARE).sqrt(), 0.0)


def orthogonality(first: Tensor, second: Tensor) -> Tensor:
    """Return how much two representations of the same rows overlap (MISA, eq. 9).

    Columns are centered over the batch and rows brought to length 1; then it is the mean square of
    the elements of H1' H2, as in the authors' code, where the paper has their sum.

    Args:
        first: (N, d) vectors.
        second: (N, d) vectors of the same rows.

    Returns:
        Scalar in [0, (N / d)^2]; 0 for no rows.

    >>> float(orthogonality(torch.eye(2), torch.ones(2, 2)))
    0.0
    """
    if not len(first):
        return full_precision(first).sum() * 0.0
    sides = [
        normalize(side - side.mean(dim=0), dim=1, eps=_LEAST_LENGTH)
        for side in (full_precision(first), full_precision(second))
    ]
    return (sides[0].T @ sides[1]).square().mean()
