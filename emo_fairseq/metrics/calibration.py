"""Calibration of predicted probabilities: expected calibration error, Brier score, log loss.

Statistics are computed per utterance and summed over utterances. ``per_label`` distinguishes the
probabilities of K binary predictions (``--target binary_emotion``), which do not sum to 1, from
those of one softmax over K labels.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

N_BINS = 15


class Confidence(NamedTuple):
    """Confidences of N utterances and their outcomes, (N, M) each, float64.

    Attributes:
        confidence: for a softmax, the probability of the predicted label (M = 1); for binary
            predictions, the probability of each label (M = K).
        outcome: 1 where the prediction is correct, or where the label is the true one; else 0.
    """

    confidence: Tensor
    outcome: Tensor


def confidences(
    truth: Tensor, prediction: Tensor, probability: Tensor, per_label: bool = False
) -> Confidence:
    """Return the confidences that are binned, and their outcomes.

    Args:
        truth: (N,) int64 label ids.
        prediction: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions.
    """
    if per_label:
        return Confidence(probability, one_hot(truth, probability.shape[1]).double())
    confidence = probability.gather(1, prediction[:, None])
    return Confidence(confidence, (prediction == truth).double()[:, None])


def bin_rows(predictions: Confidence) -> Tensor:
    """Return for each utterance and bin the count, and the sums of confidences and outcomes.

    The 15 bins have equal width; bin b contains ``(b - 1) / 15 < confidence <= b / 15``.

    Returns:
        (N, 15, 3) float64; summable over N.
    """
    confidence = predictions.confidence
    edges = torch.linspace(0.0, 1.0, N_BINS + 1, dtype=torch.float64, device=confidence.device)
    bins = one_hot(torch.bucketize(confidence.contiguous(), edges[1:-1]), N_BINS)
    bins = bins.double()  # (N, M, 15)
    values = torch.stack([torch.ones_like(predictions.outcome), *predictions], dim=2)  # (N, M, 3)
    return torch.einsum("nmb,nmv->nbv", bins, values)


def calibration_error(bins: Tensor) -> float:
    """Return the expected calibration error (Guo et al. 2017) from (15, 3) summed :func:`bin_rows`.

    ``ECE = sum over bins b of n_b / n * |accuracy_b - mean confidence_b|``, after Naeini et al.
    2015. NaN without rows.

    >>> confidence, right = torch.tensor([[0.9], [0.9], [0.6]]), torch.tensor([[1.0], [0.0], [1.0]])
    >>> rows = bin_rows(Confidence(confidence.double(), right.double()))
    >>> round(calibration_error(rows.sum(dim=0)), 4)
    0.4
    """
    number, confidence, outcome = bins.unbind(dim=1)
    return float((outcome - confidence).abs().sum() / number.sum())


def brier_rows(truth: Tensor, probability: Tensor, per_label: bool = False) -> Tensor:
    """Return ``sum over k of (p_k - y_k)²`` of each utterance, in [0, 2] (Brier 1950).

    Args:
        truth: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions, which are averaged.

    Returns:
        (N,) float64.

    >>> brier_rows(torch.tensor([0]), torch.tensor([[0.75, 0.25]]).double())
    tensor([0.1250], dtype=torch.float64)
    """
    squares = (probability - one_hot(truth, probability.shape[1])).square()
    return squares.mean(dim=1) if per_label else squares.sum(dim=1)


def log_loss_rows(truth: Tensor, probability: Tensor, per_label: bool = False) -> Tensor:
    """Return ``-log p_truth`` of each utterance in nats; infinite where that p is 0.

    Args:
        truth: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions, which are averaged.

    Returns:
        (N,) float64.

    >>> log_loss_rows(torch.tensor([0]), torch.tensor([[0.5, 0.5]]).double())
    tensor([0.6931], dtype=torch.float64)
    """
    is_true = one_hot(truth, probability.shape[1]).bool()
    if per_label:
        p_true = torch.where(is_true, probability, 1.0 - probability)  # (N, K)
        return -p_true.log().mean(dim=1)
    return -probability[is_true].log()


def mean_over(total: Tensor, number: Tensor) -> float:
    """Return the mean; NaN if there are no rows, or if it is infinite."""
    mean = float(total / number)
    return mean if math.isfinite(mean) else math.nan
