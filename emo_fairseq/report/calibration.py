"""How far a probability is what it says: calibration error, Brier score, log loss.

The expected calibration error of Guo et al. 2017, "On calibration of modern neural networks"
(after Naeini et al. 2015): confidences are put into 15 bins of equal width, bin b holding
``(b - 1) / 15 < confidence <= b / 15``, and

    ECE = sum over the bins of  n_b / n * | share right_b - mean confidence_b |

The confidence is the probability of the predicted class. Of yes/no questions (``binary_emotion``)
it is each answer's probability of yes, and "right" is that the answer is yes.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from emo_fairseq.report.system import Labels

N_BINS = 15


class Judged(NamedTuple):
    """Confidences of the N utterances, and what came of them, (N, M) each; M = 1 for labels."""

    confidence: Tensor
    outcome: Tensor


def judge(system: Labels) -> Judged:
    """What is binned of a system's probabilities."""
    if system.asks_each:
        return Judged(system.probability, one_hot(system.truth, len(system.names)).double())
    confidence = system.probability.gather(1, system.prediction[:, None])
    return Judged(confidence, (system.prediction == system.truth).double()[:, None])


def bin_rows(judged: Judged) -> Tensor:
    """(N, M) -> (N, 15, 3): by bin the number, the confidences and the outcomes. Adds up."""
    edges = torch.linspace(0.0, 1.0, N_BINS + 1, dtype=torch.float64)
    bins = one_hot(torch.bucketize(judged.confidence.contiguous(), edges[1:-1]), N_BINS)
    bins = bins.double()  # (N, M, 15)
    values = torch.stack([torch.ones_like(judged.outcome), *judged], dim=2)  # (N, M, 3)
    return torch.einsum("nmb,nmv->nbv", bins, values)


def calibration_error(bins: Tensor) -> float:
    """ECE from summed (15, 3) :func:`bin_rows`; NaN without rows.

    >>> confidence, right = torch.tensor([[0.9], [0.9], [0.6]]), torch.tensor([[1.0], [0.0], [1.0]])
    >>> round(calibration_error(bin_rows(Judged(confidence.double(), right.double())).sum(0)), 4)
    0.4
    """
    number, confidences, outcomes = bins.unbind(dim=1)
    return float((outcomes - confidences).abs().sum() / number.sum())


def brier_rows(system: Labels) -> Tensor:
    """(N,): ``sum over k of (p_k - y_k)^2`` in [0, 2] (Brier 1950); of yes/no answers the mean."""
    squares = (system.probability - one_hot(system.truth, len(system.names))).square()
    return squares.mean(dim=1) if system.asks_each else squares.sum(dim=1)


def log_loss_rows(system: Labels) -> Tensor:
    """(N,): ``-log p_truth`` in nats; of yes/no answers the mean. Infinite where that p is 0."""
    truth = one_hot(system.truth, len(system.names)).bool()
    if system.asks_each:
        given = torch.where(truth, system.probability, 1.0 - system.probability)  # (N, K)
        return -given.log().mean(dim=1)
    return -system.probability[truth].log()


def mean_over(total: Tensor, number: Tensor) -> float:
    """Mean; NaN without rows, and where it is infinite: no number to put beside another."""
    mean = float(total / number)
    return mean if math.isfinite(mean) else math.nan
