"""Calibration of predicted probabilities: expected calibration error, Brier score, log loss.

Statistics are computed per utterance and summed over utterances. ``per_label`` distinguishes the
probabilities of K binary predictions (``--target binary_emotion``), which do not sum to 1, from
those of one softmax over K labels.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from emo_fairseq.metrics.arrays import (
    Array,
    Sums,
    arange,
    float64,
    namespace,
    on_host,
    one_hot,
    ratio,
)

N_BINS = 15


class Confidence(NamedTuple):
    """Confidences of N utterances and their outcomes, (N, M) each, float64.

    Attributes:
        confidence: for a softmax, the probability of the predicted label (M = 1); for binary
            predictions, the probability of each label (M = K).
        outcome: 1 where the prediction is correct, or where the label is the true one; else 0.
    """

    confidence: Any
    outcome: Any


def confidences(
    truth: Array, prediction: Array, probability: Array, per_label: bool = False
) -> Confidence:
    """Return the confidences that are binned, and their outcomes.

    Args:
        truth: (N,) int64 label ids.
        prediction: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions.
    """
    if per_label:
        return Confidence(probability, one_hot(truth, probability.shape[1]))
    confidence = chosen(probability, prediction)[:, None]
    return Confidence(confidence, float64(prediction == truth)[:, None])


def chosen(values: Array, ids: Array) -> Array:
    """Return the value of one class in each row: (N, K), (N,) -> (N,).

    >>> chosen(np.array([[0.25, 0.75]]), np.array([1])).tolist()
    [0.75]
    """
    return values[arange(len(ids), ids), ids]


def bin_rows(predictions: Confidence) -> Any:
    """Return for each utterance and bin the count, and the sums of confidences and outcomes.

    The 15 bins have equal width; bin b contains ``(b - 1) / 15 < confidence <= b / 15``.

    Returns:
        (N, 15, 3) float64; summable over N.
    """
    confidence, outcome = predictions
    xp, edges = namespace(confidence), float64(arange(N_BINS, confidence))[1:] / N_BINS
    passed = confidence[..., None] > edges  # (N, M, 14), the edges below each confidence
    bins = one_hot(passed.sum(-1), N_BINS)  # (N, M, 15)
    values = xp.stack([xp.ones_like(outcome), confidence, outcome], 2)  # (N, M, 3)
    return xp.einsum("nmb,nmv->nbv", bins, values)


def calibration_error(bins: Sums) -> float:
    """Return the expected calibration error (Guo et al. 2017) from (15, 3) summed :func:`bin_rows`.

    ``ECE = sum over bins b of n_b / n * |accuracy_b - mean confidence_b|``, after Naeini et al.
    2015. NaN without rows.

    >>> confidence, right = np.array([[0.9], [0.9], [0.6]]), np.array([[1.0], [0.0], [1.0]])
    >>> rows = bin_rows(Confidence(confidence, right))
    >>> round(calibration_error(rows.sum(axis=0)), 4)
    0.4
    """
    number, confidence, outcome = on_host(bins).T
    return ratio(abs(outcome - confidence).sum(), number.sum())


def brier_rows(truth: Array, probability: Array, per_label: bool = False) -> Array:
    """Return ``sum over k of (p_k - y_k)²`` of each utterance, in [0, 2] (Brier 1950).

    Args:
        truth: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions, which are averaged.

    Returns:
        (N,) float64.

    >>> brier_rows(np.array([0]), np.array([[0.75, 0.25]])).tolist()
    [0.125]
    """
    squares = (probability - one_hot(truth, probability.shape[1])) ** 2
    return squares.mean(1) if per_label else squares.sum(1)


def log_loss_rows(truth: Array, probability: Array, per_label: bool = False) -> Array:
    """Return ``-log p_truth`` of each utterance in nats; infinite where that p is 0.

    Args:
        truth: (N,) int64 label ids.
        probability: (N, K) float64.
        per_label: whether the probabilities are K binary predictions, which are averaged.

    Returns:
        (N,) float64.

    >>> log_loss_rows(np.array([0]), np.array([[0.5, 0.5]])).round(4).tolist()
    [0.6931]
    """
    xp = namespace(probability)
    if per_label:
        is_true = one_hot(truth, probability.shape[1]) == 1
        p_true = xp.where(is_true, probability, 1.0 - probability)  # (N, K)
    else:
        p_true = chosen(probability, truth)[:, None]  # (N, 1)
    with np.errstate(divide="ignore"):
        return -xp.log(p_true).mean(1)


def mean_over(total: float, number: float) -> float:
    """Return the mean; NaN if there are no rows, or if it is infinite."""
    mean = ratio(total, number)
    return mean if math.isfinite(mean) else math.nan
