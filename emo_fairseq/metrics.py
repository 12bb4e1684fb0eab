"""Metrics as pure functions of summable sufficient statistics.

Two steps keep every figure the same at any batch size and on any number of ranks: a batch becomes a
float64 tensor (a confusion, moments) to be added to that of any other batch, and figures are
derived from the sum alone. Truth comes before prediction everywhere. Derived figures are Python
floats; an undefined one is NaN, never a flattering 0 or 1.

    truth, prediction --confusion, moments--> tensor --(+ over batches and ranks)--> figures
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

EPSILON = torch.finfo(torch.float64).eps


# Classes: counts (C, C), rows = truth, columns = prediction


def confusion(truth: Tensor, prediction: Tensor, n_classes: int) -> Tensor:
    """Count each pair of true and predicted class.

    Args:
        truth: (N,), class ids.
        prediction: (N,), class ids.
        n_classes: C.

    Returns:
        (C, C), float64, exact up to 2^53; rows are the truth. All 0 for an empty batch.

    Raises:
        ValueError: the shapes differ, or an id is outside [0, C).

    >>> confusion(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), 2).tolist()
    [[1.0, 1.0], [0.0, 1.0]]
    """
    if truth.ndim != 1:
        raise ValueError(f"expected truth (N,), got {tuple(truth.shape)}")
    check_same_shape(truth, prediction)
    for name, ids in (("true", truth), ("predicted", prediction)):
        wrong = ids[(ids < 0) | (ids >= n_classes)]
        if len(wrong):
            raise ValueError(f"{name} class {wrong[0].item()} is outside [0, {n_classes})")
    cell = truth.long() * n_classes + prediction.long()  # (N,)
    counts = torch.bincount(cell, minlength=n_classes**2)  # (C * C,)
    return counts.reshape(n_classes, n_classes).double()


def accuracy(counts: Tensor) -> float:
    """Correct / all: the field's weighted accuracy, WA. NaN without utterances.

    >>> accuracy(torch.tensor([[1, 1], [0, 2]]))
    0.75
    """
    return float(counts.diagonal().sum().double() / counts.sum())


def recall_per_class(counts: Tensor) -> list[float]:
    """Correct_k / true_k for each of C classes; NaN for a class absent from the truth.

    >>> recall_per_class(torch.tensor([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    [0.5, 1.0, nan]
    """
    correct, true, _ = _margins(counts)
    return _floats(correct / true)


def precision_per_class(counts: Tensor) -> list[float]:
    """Correct_k / predicted_k for each of C classes.

    0 for a true class that is never predicted (scikit-learn's `zero_division=0`), NaN for a class
    in neither truth nor prediction.

    >>> precision_per_class(torch.tensor([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    [0.5, 0.0, nan]
    """
    correct, true, predicted = _margins(counts)
    return _floats((correct / predicted).masked_fill((predicted == 0) & (true > 0), 0.0))


def f1_per_class(counts: Tensor) -> list[float]:
    """2 correct_k / (true_k + predicted_k) for each of C classes.

    0 for a class never right, NaN for a class in neither truth nor prediction.

    >>> f1_per_class(torch.tensor([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    [0.6666666666666666, 0.0, nan]
    """
    correct, true, predicted = _margins(counts)
    return _floats(2.0 * correct / (true + predicted))


def unweighted_average_recall(counts: Tensor) -> float:
    """Mean recall over the classes present in the truth: UAR, or UA (Schuller et al. 2009).

    As scikit-learn's `balanced_accuracy_score`. A class that is predicted but never true does not
    count; `audmetric.unweighted_average_recall` without `labels` counts it as a recall of 0.

    >>> unweighted_average_recall(torch.tensor([[1, 1, 0], [0, 2, 0], [0, 0, 0]]))
    0.75
    """
    return _mean_of_defined(recall_per_class(counts))


def macro_f1(counts: Tensor) -> float:
    """Mean F1 over the classes present in truth or prediction, as scikit-learn's `average="macro"`.

    >>> round(macro_f1(torch.tensor([[2, 0, 0], [2, 0, 0], [0, 0, 0]])), 3)
    0.333
    """
    return _mean_of_defined(f1_per_class(counts))


def weighted_f1(counts: Tensor) -> float:
    """Mean F1 weighted by true counts, as scikit-learn's `average="weighted"`; NaN without rows.

    >>> weighted_f1(torch.tensor([[2, 0, 0], [2, 0, 0], [0, 0, 0]]))
    0.3333333333333333
    """
    _, true, _ = _margins(counts)
    f1 = true.new_tensor(f1_per_class(counts)).nan_to_num(0.0)  # absent classes weigh 0
    return float((true * f1).sum() / true.sum())


CONFUSION_METRICS: dict[str, Callable[[Tensor], float]] = {
    "wa": accuracy,
    "uar": unweighted_average_recall,
    "weighted_f1": weighted_f1,
    "macro_f1": macro_f1,
}


def constant_confusion(counts: Tensor, prediction: int) -> Tensor:
    """The confusion (C, C) of a system that gives every utterance the one class `prediction`.

    >>> constant_confusion(torch.tensor([[1, 1], [0, 2]]), 0).tolist()
    [[2, 0], [2, 0]]
    """
    baseline = torch.zeros_like(counts)
    baseline[:, prediction] = counts.sum(dim=1)
    return baseline


def majority_baseline(counts: Tensor) -> dict[str, float]:
    """Each of :data:`CONFUSION_METRICS` for always predicting the most frequent true class.

    Among equally frequent classes the first; all figures are the same for each of them.

    >>> majority_baseline(torch.tensor([[1, 2], [0, 1]]))["wa"]
    0.75
    """
    baseline = constant_confusion(counts, int(counts.sum(dim=1).argmax()))
    return {name: metric(baseline) for name, metric in CONFUSION_METRICS.items()}


# Values: moments (8,) of an axis, for values of order 1


def moments(truth: Tensor, prediction: Tensor) -> Tensor:
    """Sum what CCC, Pearson, MAE and RMSE need, over the rows whose truth is not NaN.

    With x the truth and y the prediction: `n, Σx, Σy, Σx², Σy², Σxy, Σ|x - y|, Σ(x - y)²`.
    Variances come from raw sums, so values should be of order 1 (scores in [0, 1] or [-3, 3]),
    where float64 loses nothing that matters. A NaN prediction makes the figures of its axis NaN.

    Args:
        truth: (N,), or (N, A) for A axes; NaN where missing.
        prediction: as `truth`.

    Returns:
        (8,), or (A, 8) for A axes; float64. All 0 where nothing is measured.

    Raises:
        ValueError: the shapes differ.

    >>> moments(torch.tensor([0.0, 1.0, torch.nan]), torch.tensor([1.0, 2.0, 3.0])).tolist()
    [2.0, 1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 2.0]
    """
    check_same_shape(truth, prediction)
    missing = truth.isnan()
    x = truth.detach().double().masked_fill(missing, 0.0)
    y = prediction.detach().double().masked_fill(missing, 0.0)
    terms = ((~missing).double(), x, y, x * x, y * y, x * y, (x - y).abs(), (x - y).square())
    return torch.stack([term.sum(dim=0) for term in terms], dim=-1)


def concordance_cc(sums: Tensor) -> float:
    """Concordance correlation coefficient from (8,) :func:`moments` (Lin 1989), divisor n.

    `2 cov / (var_x + var_y + (mean_x - mean_y)²)`. NaN if truth or prediction is constant, so for
    fewer than two rows too; `audmetric.concordance_cc` gives 0 where only one of them is constant.

    >>> truth, prediction = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    >>> round(concordance_cc(moments(truth, prediction)), 12)
    0.666666666667
    """
    bias, truth_variance, prediction_variance, covariance = _central(sums)
    if not (truth_variance > 0.0 and prediction_variance > 0.0):
        return math.nan
    return 2.0 * covariance / (truth_variance + prediction_variance + bias**2)


def pearson_cc(sums: Tensor) -> float:
    """Pearson's correlation coefficient from (8,) :func:`moments`, in [-1, 1].

    `cov / sqrt(var_x var_y)`. NaN if truth or prediction is constant.

    >>> truth, prediction = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 2.0, 4.0])
    >>> pearson_cc(moments(truth, prediction))
    1.0
    """
    _, truth_variance, prediction_variance, covariance = _central(sums)
    if not (truth_variance > 0.0 and prediction_variance > 0.0):
        return math.nan
    correlation = covariance / math.sqrt(truth_variance * prediction_variance)
    return max(-1.0, min(1.0, correlation))  # rounding alone can leave the interval


def mean_absolute_error(sums: Tensor) -> float:
    """MAE from (8,) :func:`moments`, in the values' unit; NaN without rows.

    >>> mean_absolute_error(moments(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 4.0])))
    2.0
    """
    return float(sums[6] / sums[0])


def root_mean_squared_error(sums: Tensor) -> float:
    """RMSE from (8,) :func:`moments`, in the values' unit; NaN without rows.

    >>> root_mean_squared_error(moments(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 8.0])))
    5.0
    """
    return float((sums[7] / sums[0]).sqrt())


MOMENT_METRICS: dict[str, Callable[[Tensor], float]] = {
    "ccc": concordance_cc,
    "pearson": pearson_cc,
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
}


def check_same_shape(truth: Tensor, prediction: Tensor) -> None:
    """Raise ValueError unless both have one shape: broadcasting would pair the wrong rows."""
    if truth.shape != prediction.shape:
        shapes = f"{tuple(truth.shape)} and {tuple(prediction.shape)}"
        raise ValueError(f"truth and prediction differ in shape: {shapes}")


def _margins(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(C, C) -> correct, true and predicted utterances of each class, (C,) float64 each."""
    counts = counts.double()
    return counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)


def _floats(per_class: Tensor) -> list[float]:
    return [float(value) for value in per_class]


def _mean_of_defined(values: list[float]) -> float:
    """Mean of those that are not NaN; NaN if there is none."""
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan


def _central(sums: Tensor) -> tuple[float, float, float, float]:
    """(8,) -> mean_y - mean_x, var_x, var_y, cov, with divisor n; NaN without rows.

    A variance that rounding alone could have left in sums over n rows, at most about 2 n eps times
    the mean square, is exactly 0: a constant such as 0.1 must not get a correlation from it.
    """
    n, x, y, xx, yy, xy = (float(value) for value in sums[:6])
    if n == 0:
        return math.nan, math.nan, math.nan, math.nan
    rounding = 2.0 * (n + 4.0) * EPSILON
    variances = []
    for total, squares in ((x, xx), (y, yy)):
        variance = squares / n - (total / n) ** 2
        variances.append(0.0 if variance <= rounding * squares / n else variance)
    return (y - x) / n, variances[0], variances[1], xy / n - (x / n) * (y / n)
