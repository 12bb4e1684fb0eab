"""Classification metrics, from a confusion matrix (C, C): rows = truth, columns = prediction."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from emo_fairseq.metrics.arrays import (
    Array,
    Sums,
    count,
    float64,
    int64,
    is_on_cpu,
    namespace,
    on_host,
    one_hot,
    ratio,
)


def check_same_shape(truth: Array, prediction: Array) -> None:
    """Raise ValueError unless the shapes are equal: broadcasting would pair the wrong rows."""
    if truth.shape != prediction.shape:
        shapes = f"{tuple(truth.shape)} and {tuple(prediction.shape)}"
        raise ValueError(f"truth and prediction differ in shape: {shapes}")


def check_ids(name: str, ids: Array, n_classes: int, counted: Array | None = None) -> None:
    """Check that class ids are those of C classes, without waiting for a GPU.

    Args:
        name: of the ids, for messages.
        ids: (N,).
        n_classes: C.
        counted: (N,) bool, the rows that are checked; None = all.

    Raises:
        ValueError: one is not; on other devices than the CPU, which is not waited for, the process
            ends when the device reaches it.
    """
    wrong = (ids < 0) | (ids >= n_classes)
    if counted is not None:
        wrong = wrong & counted
    if not is_on_cpu(ids):
        message = f"a {name} class is outside [0, {n_classes})"
        namespace(ids)._assert_async(~wrong.any(), message)
    elif wrong.any():
        raise ValueError(f"{name} class {ids[wrong][0].item()} is outside [0, {n_classes})")


def confusion(
    truth: Array, prediction: Array, n_classes: int, counted: Array | None = None
) -> Array:
    """Count each pair of true and predicted class.

    The host does not wait for the result, so that a training step on a GPU may count.

    Args:
        truth: (N,), class ids.
        prediction: (N,), class ids.
        n_classes: C.
        counted: (N,) bool, the rows that count, whose ids alone matter; None = all.

    Returns:
        (C, C), float64, exact up to 2^53; rows are the truth. All 0 for an empty batch.

    Raises:
        ValueError: the shapes differ, or an id is outside [0, C); see :func:`check_ids`.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    if truth.ndim != 1:
        raise ValueError(f"expected truth (N,), got {tuple(truth.shape)}")
    check_same_shape(truth, prediction)
    check_ids("true", truth, n_classes, counted)
    check_ids("predicted", prediction, n_classes, counted)
    cell = int64(truth) * n_classes + int64(prediction)  # (N,)
    weights = namespace(truth).ones_like(truth) if counted is None else counted
    return count(cell * weights, float64(weights), n_classes**2).reshape(n_classes, n_classes)


def confusion_rows(truth: Array, prediction: Array, n_classes: int) -> Array:
    """Return the confusion of each utterance, (N, C, C) float64; their sum is that of all.

    Args:
        truth: (N,) int64 class ids.
        prediction: (N,) int64 class ids.
        n_classes: C.

    Raises:
        ValueError: an id is outside [0, C); see :func:`check_ids`.
    """
    check_ids("true", truth, n_classes)
    check_ids("predicted", prediction, n_classes)
    cells = one_hot(int64(truth) * n_classes + int64(prediction), n_classes**2)
    return cells.reshape(-1, n_classes, n_classes)


def accuracy(counts: Sums) -> float:
    """Return the accuracy, ``correct / all``, also called weighted accuracy (WA). NaN without rows.

    >>> accuracy(np.array([[1, 1], [0, 2]]))
    0.75
    """
    counts = on_host(counts)
    return ratio(counts.trace(), counts.sum())


def recall_per_class(counts: Sums) -> list[float]:
    """Return ``correct_k / true_k`` for each of C classes; NaN for a class absent from the truth.

    >>> recall_per_class(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    [0.5, 1.0, nan]
    """
    correct, true, _ = _margins(counts)
    return _per_class(correct, true)


def precision_per_class(counts: Sums) -> list[float]:
    """Return ``correct_k / predicted_k`` for each of C classes.

    0 for a true class that is never predicted (scikit-learn's `zero_division=0`), NaN for a class
    in neither truth nor prediction.

    >>> precision_per_class(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    [0.5, 0.0, nan]
    """
    correct, true, predicted = _margins(counts)
    return _per_class(correct, np.where(predicted == 0, true, predicted))


def f1_per_class(counts: Sums) -> list[float]:
    """Return ``2 correct_k / (true_k + predicted_k)`` for each of C classes.

    0 for a class without a correct prediction, NaN for a class in neither truth nor prediction.

    >>> f1_per_class(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    [0.6666666666666666, 0.0, nan]
    """
    correct, true, predicted = _margins(counts)
    return _per_class(2.0 * correct, true + predicted)


def unweighted_average_recall(counts: Sums) -> float:
    """Return the mean recall over the classes in the truth: UAR, or UA (Schuller et al. 2009).

    As scikit-learn's `balanced_accuracy_score`. A class that is predicted but never true does not
    count; `audmetric.unweighted_average_recall` without `labels` counts it as a recall of 0.

    >>> unweighted_average_recall(np.array([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    0.75
    """
    return _mean_of_defined(recall_per_class(counts))


def macro_f1(counts: Sums) -> float:
    """Return the mean F1 over the classes in truth or prediction.

    As scikit-learn's `average="macro"`.

    >>> round(macro_f1(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]])), 3)
    0.333
    """
    return _mean_of_defined(f1_per_class(counts))


def weighted_f1(counts: Sums) -> float:
    """Return the mean F1 weighted by true counts; NaN without rows.

    As scikit-learn's `average="weighted"`.

    >>> weighted_f1(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    0.3333333333333333
    """
    return _mean_by_truth(counts, f1_per_class(counts))


def macro_precision(counts: Sums) -> float:
    """Return the mean precision over the classes in truth or prediction.

    As scikit-learn's `precision_score(average="macro", zero_division=0)`.

    >>> macro_precision(np.array([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    0.25
    """
    return _mean_of_defined(precision_per_class(counts))


def weighted_precision(counts: Sums) -> float:
    """Return the mean precision weighted by true counts; NaN without rows.

    As scikit-learn's `precision_score(average="weighted", zero_division=0)`.

    >>> weighted_precision(np.array([[3, 0, 0], [1, 0, 0], [0, 0, 0]]))
    0.5625
    """
    return _mean_by_truth(counts, precision_per_class(counts))


CONFUSION_METRICS: dict[str, Callable[[Sums], float]] = {
    "wa": accuracy,
    "uar": unweighted_average_recall,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}


def label_metrics(counts: Sums, labels: Sequence[str]) -> dict[str, float]:
    """Return WA, UAR, weighted and macro F1, and ``recall_<label>`` of each class.

    Args:
        counts: (C, C), summed :func:`confusion`.
        labels: the C names.

    >>> label_metrics(np.array([[1, 1], [0, 2]]), ["sad", "happy"])["recall_sad"]
    0.5
    """
    recalls = zip(labels, recall_per_class(counts), strict=True)
    return {
        **{name: metric(counts) for name, metric in CONFUSION_METRICS.items()},
        **{f"recall_{label}": recall for label, recall in recalls},
    }


def constant_confusion(counts: Sums, prediction: int) -> np.ndarray:
    """Return the confusion (C, C) of always predicting the class `prediction`.

    >>> constant_confusion(np.array([[1, 1], [0, 2]]), 0).tolist()
    [[2.0, 0.0], [2.0, 0.0]]
    """
    _, true, _ = _margins(counts)
    baseline = np.zeros((len(true), len(true)))
    baseline[:, prediction] = true
    return baseline


def _margins(counts: Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return correct, true and predicted utterances of each class, (C,) float64 each."""
    counts = on_host(counts)
    return counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)


def _per_class(part: np.ndarray, whole: np.ndarray) -> list[float]:
    return list(map(ratio, part, whole))


def _mean_by_truth(counts: Sums, per_class: list[float]) -> float:
    """Return the mean over classes weighted by true counts; NaN without rows."""
    _, true, _ = _margins(counts)
    values = np.nan_to_num(per_class)  # absent classes weigh 0
    return ratio((true * values).sum(), true.sum())


def _mean_of_defined(values: list[float]) -> float:
    """Return the mean of the values that are not NaN; NaN if there are none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
