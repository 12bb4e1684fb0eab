"""Regression metrics, from the moments (8,) of each axis; for values of order 1."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from emo_fairseq.metrics.arrays import Array, Sums, float64, namespace, on_host, ratio
from emo_fairseq.metrics.classification import check_same_shape

EPSILON = float(np.finfo(np.float64).eps)


def moments(truth: Array, prediction: Array) -> Array:
    """Return the sums from which CCC, Pearson, MAE and RMSE are computed.

    With x the truth and y the prediction, over the rows whose truth is not NaN:
    `n, Σx, Σy, Σx², Σy², Σxy, Σ|x - y|, Σ(x - y)²`. Variances are computed from raw sums, so values
    should be of order 1 (scores in [0, 1] or [-3, 3]), where float64 is precise enough. A NaN
    prediction makes the metrics of its axis NaN.

    Args:
        truth: (N,), or (N, A) for A axes; NaN where missing.
        prediction: as `truth`.

    Returns:
        (8,), or (A, 8) for A axes; float64. All 0 where the truth is missing.

    Raises:
        ValueError: the shapes differ.

    >>> moments(np.array([0.0, 1.0, np.nan]), np.array([1.0, 2.0, 3.0])).tolist()
    [2.0, 1.0, 3.0, 1.0, 5.0, 2.0, 2.0, 2.0]
    """
    check_same_shape(truth, prediction)
    return namespace(truth).stack([term.sum(0) for term in _terms(truth, prediction)], -1)


def moment_rows(truth: Array, prediction: Array) -> Array:
    """Return the :func:`moments` of each utterance: (N,) -> (N, 8), (N, A) -> (N, A, 8)."""
    check_same_shape(truth, prediction)
    return namespace(truth).stack(_terms(truth, prediction), -1)


def _terms(truth: Array, prediction: Array) -> list[Array]:
    xp = namespace(truth)
    missing = xp.isnan(truth)
    x = xp.where(missing, 0.0, float64(truth))
    y = xp.where(missing, 0.0, float64(prediction))
    return [float64(~missing), x, y, x * x, y * y, x * y, abs(x - y), (x - y) ** 2]


def concordance_cc(sums: Sums) -> float:
    """Return the concordance correlation coefficient (Lin 1989) from (8,) :func:`moments`.

    `2 cov / (var_x + var_y + (mean_x - mean_y)²)`, with divisor n. NaN if truth
    or prediction is constant, so for fewer than two rows too; `audmetric.concordance_cc` gives 0
    where only one of them is constant.

    >>> truth, prediction = np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])
    >>> round(concordance_cc(moments(truth, prediction)), 12)
    0.666666666667
    """
    bias, truth_variance, prediction_variance, covariance = _central(sums)
    if not (truth_variance > 0.0 and prediction_variance > 0.0):
        return math.nan
    return 2.0 * covariance / (truth_variance + prediction_variance + bias**2)


def pearson_cc(sums: Sums) -> float:
    """Return Pearson's correlation coefficient from (8,) :func:`moments`, in [-1, 1].

    `cov / sqrt(var_x var_y)`. NaN if truth or prediction is constant.

    >>> truth, prediction = np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 4.0])
    >>> pearson_cc(moments(truth, prediction))
    1.0
    """
    _, truth_variance, prediction_variance, covariance = _central(sums)
    if not (truth_variance > 0.0 and prediction_variance > 0.0):
        return math.nan
    correlation = covariance / math.sqrt(truth_variance * prediction_variance)
    return max(-1.0, min(1.0, correlation))  # rounding may exceed the interval


def mean_absolute_error(sums: Sums) -> float:
    """Return MAE from (8,) :func:`moments`, in the values' unit; NaN without rows.

    >>> mean_absolute_error(moments(np.array([0.0, 1.0]), np.array([1.0, 4.0])))
    2.0
    """
    sums = on_host(sums)
    return ratio(sums[6], sums[0])


def root_mean_squared_error(sums: Sums) -> float:
    """Return RMSE from (8,) :func:`moments`, in the values' unit; NaN without rows.

    >>> root_mean_squared_error(moments(np.array([0.0, 1.0]), np.array([1.0, 8.0])))
    5.0
    """
    sums = on_host(sums)
    return math.sqrt(ratio(sums[7], sums[0]))


def mean_squared_error(sums: Sums) -> float:
    """Return MSE from (8,) :func:`moments`, in the values' unit squared; NaN without rows.

    >>> mean_squared_error(moments(np.array([0.0, 1.0]), np.array([1.0, 8.0])))
    25.0
    """
    return root_mean_squared_error(sums) ** 2


def sd_ratio(sums: Sums) -> float:
    """Return the standard deviation of the predictions over that of the truth, from (8,) moments.

    `sqrt(var_y / var_x)`: 1 is best for agreement; less means predictions that keep too close to
    their mean, more that they scatter too far. NaN if the truth is constant.

    >>> truth, prediction = np.array([0.0, 1.0, 2.0]), np.array([0.0, 2.0, 4.0])
    >>> sd_ratio(moments(truth, prediction))
    2.0
    """
    _, truth_variance, prediction_variance, _ = _central(sums)
    return math.sqrt(prediction_variance / truth_variance) if truth_variance > 0.0 else math.nan


MOMENT_METRICS: dict[str, Callable[[Sums], float]] = {
    "ccc": concordance_cc,
    "pearson": pearson_cc,
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "sd_ratio": sd_ratio,
}


def number_metrics(
    sums: Iterable[Sums],
    axes: Sequence[str],
    metrics: Mapping[str, Callable[[Sums], float]] = MOMENT_METRICS,
) -> dict[str, float]:
    """Return CCC, Pearson, MAE, RMSE, SD ratio; with several axes also ``<metric>_<axis>`` of each.

    A metric of several axes is the mean over those with a truth; it is NaN if that of such an axis
    is undefined.

    Args:
        sums: (A, 8), summed :func:`moments`.
        axes: the A names.
        metrics: by name, from the (8,) moments of an axis.
    """
    axis_sums = list(sums)
    values = {}
    for name, metric in metrics.items():
        per_axis = [metric(axis) for axis in axis_sums]
        measured = [x for x, axis in zip(per_axis, axis_sums, strict=True) if axis[0] > 0]
        values[name] = sum(measured) / len(measured) if measured else math.nan
        if len(axes) > 1:
            values |= {f"{name}_{axis}": x for axis, x in zip(axes, per_axis, strict=True)}
    return values


def _central(sums: Sums) -> tuple[float, float, float, float]:
    """Return mean_y - mean_x, var_x, var_y, cov, with divisor n, from (8,); NaN without rows.

    A variance that may be the rounding error of sums over n rows, at most about 2 n eps times the
    mean square, is set to 0, so that a constant such as 0.1 has no correlation.
    """
    n, x, y, xx, yy, xy = on_host(sums)[:6].tolist()
    if n == 0:
        return math.nan, math.nan, math.nan, math.nan
    rounding = 2.0 * (n + 4.0) * EPSILON
    variances = []
    for total, squares in ((x, xx), (y, yy)):
        variance = squares / n - (total / n) ** 2
        variances.append(0.0 if variance <= rounding * squares / n else variance)
    return (y - x) / n, variances[0], variances[1], xy / n - (x / n) * (y / n)
