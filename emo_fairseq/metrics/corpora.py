"""Standard sets of metrics of two corpora: sentiment of CMU-MOSI and CMU-MOSEI, IEMOCAP binary.

As everywhere in :mod:`emo_fairseq.metrics`, statistics are summed over batches and ranks, and
metrics are computed from the sum.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from emo_fairseq.metrics.arrays import Array, Sums, float64, int64, namespace, one_hot
from emo_fairseq.metrics.classification import (
    accuracy,
    check_ids,
    check_same_shape,
    confusion,
    confusion_rows,
    constant_confusion,
    weighted_f1,
)
from emo_fairseq.metrics.regression import mean_absolute_error, moment_rows, pearson_cc

CMU_ACCURACIES = {"acc7": 3, "acc5": 2}  # name: limit to which scores are clipped


def cmu_statistics(truth: Array, prediction: Array) -> dict[str, Array]:
    """Return the summable counts behind :func:`cmu_metrics`.

    The scores of CMU-MOSI and CMU-MOSEI are in [-3, 3]. A row whose truth is NaN is left
    out. A NaN prediction makes every statistic NaN.

    Args:
        truth: (N,), NaN where missing.
        prediction: (N,)

    Returns:
        float64 arrays: confusions `acc2_has0`, `acc2_non0` (2, 2) (negative, positive), `acc7`,
        `acc7_non0` (7, 7), `acc5`, `acc5_non0` (5, 5), and `moments` (8,). The `non0` ones leave
        out the rows whose truth is exactly 0.

    Raises:
        ValueError: truth is not (N,), or the shapes differ.
    """
    return {name: rows.sum(0) for name, rows in cmu_rows(truth, prediction).items()}


def cmu_rows(truth: Array, prediction: Array) -> dict[str, Array]:
    """Return the :func:`cmu_statistics` of each utterance, (N, ...) each; 0 without a truth.

    Args:
        truth: (N,), NaN where missing.
        prediction: (N,)

    Raises:
        ValueError: truth is not (N,), or the shapes differ.
    """
    if truth.ndim != 1:
        raise ValueError(f"expected truth (N,), got {tuple(truth.shape)}")
    check_same_shape(truth, prediction)
    xp = namespace(truth)
    missing = xp.isnan(truth)
    x = xp.where(missing, 0.0, float64(truth))
    y = xp.where(missing, 0.0, float64(prediction))
    counts = {
        name: xp.where(missing[:, None, None], 0.0, rows)
        for name, rows in _cmu_counts(x, y).items()
    }
    return {"moments": moment_rows(truth, prediction), **counts}


def _cmu_counts(truth: Array, prediction: Array) -> dict[str, Array]:
    """Return confusions (N, C, C) of scores (N,); all NaN where the prediction is NaN."""
    xp = namespace(truth)
    invalid, non0 = xp.isnan(prediction)[:, None, None], (truth != 0)[:, None, None]
    prediction = xp.nan_to_num(prediction)  # the counts are set to NaN at the end
    rows = {
        "acc2_has0": confusion_rows(int64(truth >= 0), int64(prediction >= 0), 2),
        "acc2_non0": confusion_rows(int64(truth > 0), int64(prediction > 0), 2) * non0,
    }
    for name, limit in CMU_ACCURACIES.items():
        counts = confusion_rows(_rounded(truth, limit), _rounded(prediction, limit), 2 * limit + 1)
        rows |= {name: counts, f"{name}_non0": counts * non0}
    return {name: xp.where(invalid, np.nan, counts) for name, counts in rows.items()}


def cmu_metrics(statistics: Mapping[str, Sums]) -> dict[str, float]:
    """Return the metrics of CMU-MOSI and CMU-MOSEI, from summed :func:`cmu_statistics`.

    - `acc2_has0`, `f1_has0`: negative against non-negative, a score >= 0 being non-negative;
    - `acc2_non0`, `f1_non0`: negative against positive, a score > 0 being positive, without the
      rows whose truth is 0 (a prediction of exactly 0 is negative);
    - `acc7`, `acc5`: same class after clipping to ±3 (±2) and rounding half to even;
    - `acc7_non0`, `acc5_non0`: the same without the rows whose truth is 0;
    - `mae`, `corr`: mean absolute error and Pearson's correlation of the raw scores.

    F1 is weighted F1 over both classes. All but the `_non0` accuracies of 7 and 5 classes are as in
    MMSA (github.com/thuiar/MMSA, `utils/metricsTop.py`); MulT's older script swaps the arguments of
    its F1, so weights it by predicted counts. NaN without rows; `corr` is NaN for constant scores.

    >>> truth, prediction = np.array([0.0, -1.0, 2.6]), np.array([-0.2, -1.4, 1.0])
    >>> metrics = cmu_metrics(cmu_statistics(truth, prediction))
    >>> [round(metrics[name], 3) for name in ("acc2_has0", "acc2_non0", "acc7", "acc7_non0", "mae")]
    [0.667, 1.0, 0.667, 0.5, 0.733]
    """
    metrics = {}
    for form in ("has0", "non0"):
        counts = statistics[f"acc2_{form}"]
        metrics[f"acc2_{form}"] = accuracy(counts)
        metrics[f"f1_{form}"] = weighted_f1(counts)
    for name in CMU_ACCURACIES:
        metrics[name] = accuracy(statistics[name])
        metrics[f"{name}_non0"] = accuracy(statistics[f"{name}_non0"])
    metrics["mae"] = mean_absolute_error(statistics["moments"])
    metrics["corr"] = pearson_cc(statistics["moments"])
    return metrics


def log_odds(logits: Array) -> Array:
    """Return yes minus no of each emotion's pair of logits, (N, 2K) -> (N, K) float64.

    Its argmax is the class predicted by a binary head: the emotion with the most probable yes.

    >>> log_odds(np.array([[0.0, 1.0, 3.0, 2.0]])).tolist()
    [[1.0, -1.0]]

    Raises:
        ValueError: the logits are not (N, 2K).
    """
    if logits.ndim != 2 or logits.shape[1] % 2:
        raise ValueError(f"expected logits (N, 2K), got {tuple(logits.shape)}")
    logits = float64(logits)
    return logits[:, 1::2] - logits[:, ::2]  # (N, K)


def binary_confusions(truth: Array, logits: Array, counted: Array | None = None) -> Array:
    """Return the binary confusion matrix of each of K emotions.

    An emotion is predicted where its log-odds are above 0. A NaN logit makes all counts NaN.

    Args:
        truth: (N,), class ids in [0, K).
        logits: (N, 2K); emotion k has columns 2k (no) and 2k + 1 (yes).
        counted: (N,) bool, the rows that count; None = all.

    Returns:
        (K, 2, 2) float64; rows are the truth, no before yes. Summable.

    Raises:
        ValueError: the shapes do not match, or an id is outside [0, K).
    """
    odds, xp = log_odds(logits), namespace(logits)  # (N, K)
    n_emotions = odds.shape[1]
    if truth.shape != logits.shape[:1]:
        raise ValueError(f"expected truth (N,) for {len(logits)} rows, got {tuple(truth.shape)}")
    check_ids("true", truth, n_emotions, counted)
    counts = [
        confusion(int64(truth == emotion), int64(odds[:, emotion] > 0), 2, counted)
        for emotion in range(n_emotions)
    ]
    return xp.where(xp.isnan(odds).any(), np.nan, xp.stack(counts))  # (K, 2, 2)


def binary_rows(truth: Array, prediction: Array) -> Array:
    """Return the binary confusions of each utterance, (N, K, 2, 2); their sum is that of all.

    Args:
        truth: (N,) int64 label ids.
        prediction: (N, K) bool, whether label k is predicted.
    """
    is_true, is_predicted = int64(one_hot(truth, prediction.shape[1])), int64(prediction)
    labels = zip(is_true.T, is_predicted.T, strict=True)
    return namespace(truth).stack([confusion_rows(*pair, 2) for pair in labels], 1)


def binary_metrics(counts: Sums, labels: Sequence[str]) -> dict[str, float]:
    """Return binary accuracy and weighted F1 of each emotion, and of the baseline "always no".

    Since each emotion is rare among the others, always predicting "no" has a high accuracy: compare
    an accuracy with its baseline.

    Args:
        counts: (K, 2, 2), summed :func:`binary_confusions`.
        labels: the K names.

    Returns:
        `binary_accuracy_<label>`, `binary_f1_<label>` and, for always predicting "no",
        `binary_accuracy_<label>_always_no`, `binary_f1_<label>_always_no`. NaN without rows.

    Raises:
        ValueError: there is not one confusion matrix per label.

    >>> binary_metrics(np.array([[[6, 1], [1, 2]]]), ["happy"])["binary_accuracy_happy"]
    0.8
    """
    if counts.shape != (len(labels), 2, 2):
        raise ValueError(f"expected ({len(labels)}, 2, 2) counts, got {tuple(counts.shape)}")
    metrics = {}
    for label, pair in zip(labels, counts, strict=True):
        for suffix, matrix in (("", pair), ("_always_no", constant_confusion(pair, 0))):
            metrics[f"binary_accuracy_{label}{suffix}"] = accuracy(matrix)
            metrics[f"binary_f1_{label}{suffix}"] = weighted_f1(matrix)
    return metrics


def _rounded(scores: Array, limit: int) -> Array:
    """Clip scores (N,), and round them half to even, to class ids (N,) in [0, 2 limit]."""
    return int64(scores.clip(-limit, limit).round() + limit)
