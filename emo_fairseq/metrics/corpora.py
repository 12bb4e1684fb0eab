"""The sets of figures in which two corpora are published: CMU sentiment scores, IEMOCAP binary.

As everywhere in :mod:`emo_fairseq.metrics`: first tensors to be added over batches and ranks, then
Python floats derived from their sum.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from emo_fairseq.metrics.classification import (
    accuracy,
    confusion,
    constant_confusion,
    weighted_f1,
)
from emo_fairseq.metrics.regression import mean_absolute_error, moments, pearson_cc
from emo_fairseq.metrics.shapes import check_same_shape

CMU_ACCURACIES = {"acc7": 3, "acc5": 2}  # name: the score's limit, after which it is clipped


def cmu_statistics(truth: Tensor, prediction: Tensor) -> dict[str, Tensor]:
    """Summable counts behind :func:`cmu_metrics`, from scores in [-3, 3] (CMU-MOSI, CMU-MOSEI).

    A row whose truth is NaN is left out. A NaN prediction makes every statistic NaN.

    Args:
        truth: (N,), NaN where missing.
        prediction: (N,)

    Returns:
        float64 tensors: confusions `acc2_has0`, `acc2_non0` (2, 2) (negative, positive), `acc7`,
        `acc7_non0` (7, 7), `acc5`, `acc5_non0` (5, 5), and `moments` (8,). The `non0` ones leave
        out the rows whose truth is exactly 0.

    Raises:
        ValueError: truth is not (N,), or the shapes differ.
    """
    if truth.ndim != 1:
        raise ValueError(f"expected truth (N,), got {tuple(truth.shape)}")
    check_same_shape(truth, prediction)
    measured = ~truth.isnan()
    truth, prediction = truth[measured].double(), prediction[measured].double()
    sums = moments(truth, prediction)
    invalid = prediction.isnan().any()
    prediction = prediction.nan_to_num(0.0)  # countable; the counts become NaN at the end
    non0 = truth != 0
    statistics = {
        "acc2_has0": _signs(truth >= 0, prediction >= 0),
        "acc2_non0": _signs(truth[non0] > 0, prediction[non0] > 0),
    }
    for name, limit in CMU_ACCURACIES.items():
        true, predicted = _rounded(truth, limit), _rounded(prediction, limit)  # (N,) each
        statistics[name] = confusion(true, predicted, 2 * limit + 1)
        statistics[f"{name}_non0"] = confusion(true[non0], predicted[non0], 2 * limit + 1)
    return {"moments": sums} | {
        name: counts.masked_fill(invalid, torch.nan) for name, counts in statistics.items()
    }


def cmu_metrics(statistics: Mapping[str, Tensor]) -> dict[str, float]:
    """The figures of CMU-MOSI and CMU-MOSEI, from summed :func:`cmu_statistics`.

    - `acc2_has0`, `f1_has0`: negative against non-negative, a score >= 0 being non-negative;
    - `acc2_non0`, `f1_non0`: negative against positive, a score > 0 being positive, without the
      rows whose truth is 0 (a prediction of exactly 0 is negative);
    - `acc7`, `acc5`: same class after clipping to ±3 (±2) and rounding half to even;
    - `acc7_non0`, `acc5_non0`: the same without the rows whose truth is 0;
    - `mae`, `corr`: mean absolute error and Pearson's correlation of the raw scores.

    F1 is weighted F1 over both classes. All but the `_non0` accuracies of 7 and 5 classes are as in
    MMSA (github.com/thuiar/MMSA, `utils/metricsTop.py`); MulT's older script swaps the arguments of
    its F1, so weights it by predicted counts. NaN without rows; `corr` is NaN for constant scores.

    >>> truth, prediction = torch.tensor([0.0, -1.0, 2.6]), torch.tensor([-0.2, -1.4, 1.0])
    >>> figures = cmu_metrics(cmu_statistics(truth, prediction))
    >>> [round(figures[name], 3) for name in ("acc2_has0", "acc2_non0", "acc7", "acc7_non0", "mae")]
    [0.667, 1.0, 0.667, 0.5, 0.733]
    """
    figures = {}
    for form in ("has0", "non0"):
        counts = statistics[f"acc2_{form}"]
        figures[f"acc2_{form}"] = accuracy(counts)
        figures[f"f1_{form}"] = weighted_f1(counts)
    for name in CMU_ACCURACIES:
        figures[name] = accuracy(statistics[name])
        figures[f"{name}_non0"] = accuracy(statistics[f"{name}_non0"])
    figures["mae"] = mean_absolute_error(statistics["moments"])
    figures["corr"] = pearson_cc(statistics["moments"])
    return figures


def log_odds(logits: Tensor) -> Tensor:
    """Yes minus no of each emotion's pair of logits, (N, 2K) -> (N, K) float64.

    Its argmax is the one class of a binary head: the emotion whose yes is the most probable.

    >>> log_odds(torch.tensor([[0.0, 1.0, 3.0, 2.0]])).tolist()
    [[1.0, -1.0]]

    Raises:
        ValueError: not (N, 2K).
    """
    if logits.ndim != 2 or logits.shape[1] % 2:
        raise ValueError(f"expected logits (N, 2K), got {tuple(logits.shape)}")
    logits = logits.double()
    return logits[:, 1::2] - logits[:, ::2]  # (N, K)


def binary_confusions(truth: Tensor, logits: Tensor) -> Tensor:
    """Count, for each of K emotions, true and predicted answers to "is it emotion k?".

    The answer is yes where the log-odds are above 0; a tie is a no. A NaN logit makes all NaN.

    Args:
        truth: (N,), class ids in [0, K).
        logits: (N, 2K); emotion k owns columns 2k (no) and 2k + 1 (yes).

    Returns:
        (K, 2, 2) float64; rows are the truth, no before yes. Summable.

    Raises:
        ValueError: shapes that do not fit, or an id outside [0, K).
    """
    odds = log_odds(logits)  # (N, K)
    n_emotions = odds.shape[1]
    if truth.shape != logits.shape[:1]:
        raise ValueError(f"expected truth (N,) for {len(logits)} rows, got {tuple(truth.shape)}")
    wrong = truth[(truth < 0) | (truth >= n_emotions)]
    if len(wrong):
        raise ValueError(f"true class {wrong[0].item()} is outside [0, {n_emotions})")
    counts = [
        confusion((truth == emotion).long(), (odds[:, emotion] > 0).long(), 2)
        for emotion in range(n_emotions)
    ]
    return torch.stack(counts).masked_fill(odds.isnan().any(), torch.nan)  # (K, 2, 2)


def binary_metrics(counts: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Accuracy and weighted F1 of each emotion's yes/no answer, beside always answering no.

    An emotion is rare among the others, so always answering no scores high: an accuracy means
    something only above its baseline.

    Args:
        counts: (K, 2, 2), summed :func:`binary_confusions`.
        labels: the K names.

    Returns:
        `binary_accuracy_<label>`, `binary_f1_<label>` and, for a system that always answers no,
        `binary_accuracy_<label>_always_no`, `binary_f1_<label>_always_no`. NaN without rows.

    Raises:
        ValueError: not one confusion for each label.

    >>> binary_metrics(torch.tensor([[[6, 1], [1, 2]]]), ["happy"])["binary_accuracy_happy"]
    0.8
    """
    if counts.shape != (len(labels), 2, 2):
        raise ValueError(f"expected ({len(labels)}, 2, 2) counts, got {tuple(counts.shape)}")
    figures = {}
    for label, pair in zip(labels, counts, strict=True):
        for suffix, answers in (("", pair), ("_always_no", constant_confusion(pair, 0))):
            figures[f"binary_accuracy_{label}{suffix}"] = accuracy(answers)
            figures[f"binary_f1_{label}{suffix}"] = weighted_f1(answers)
    return figures


def _signs(truth: Tensor, prediction: Tensor) -> Tensor:
    return confusion(truth.long(), prediction.long(), 2)  # (2, 2)


def _rounded(scores: Tensor, limit: int) -> Tensor:
    """Scores (N,) -> class ids (N,) in [0, 2 limit]: clipped, then rounded half to even."""
    return (scores.clamp(-limit, limit).round() + limit).long()
