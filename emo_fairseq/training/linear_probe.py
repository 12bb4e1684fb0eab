"""Regularized linear models of fixed vectors, solved by scikit-learn, as the weights of a layer.

All minimize the mean loss over rows plus ``strength / 2`` times the squared weights, of vectors
that are standardized: one strength means the same for every number of rows. Biases are free.
"""

import logging
import warnings
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MAX_ITERATIONS = 3000
_TOLERANCE = 1e-5  # of the largest gradient of the objective


class LinearLayer(NamedTuple):
    """``vectors @ weight.T + bias``.

    Attributes:
        weight: (n_outputs, D).
        bias: (n_outputs,).
    """

    weight: FloatArray
    bias: FloatArray

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Map vectors (N, D) to outputs (N, n_outputs)."""
        outputs: FloatArray = vectors @ self.weight.T + self.bias
        return outputs


class Standardization(NamedTuple):
    """Mean and standard deviation of each dimension, (D,) each.

    The deviation of a constant dimension is infinite, so that it is 0 when it is standardized.
    """

    mean: FloatArray
    std: FloatArray

    @classmethod
    def fit(cls, vectors: FloatArray, present: npt.NDArray[np.bool_]) -> "Standardization":
        """Fit on the values that are there.

        Args:
            vectors: (N, D).
            present: (N, D), False where a row lacks the modality of a dimension.
        """
        counts = np.maximum(present.sum(axis=0), 1)
        mean = np.where(present, vectors, 0.0).sum(axis=0) / counts
        deviations = np.where(present, vectors - mean, 0.0)
        std = np.sqrt((deviations**2).sum(axis=0) / counts)
        # What varies by the rounding of single precision alone is constant, and no feature.
        is_constant = std <= 10 * np.finfo(np.float32).eps * np.maximum(np.abs(mean), 1.0)
        return cls(mean, np.where(is_constant, np.inf, std))

    def apply(self, vectors: FloatArray, present: npt.NDArray[np.bool_]) -> FloatArray:
        """Standardize vectors (N, D); what is not present becomes 0, the mean."""
        return np.where(present, (vectors - self.mean) / self.std, 0.0)

    def fold(self, layer: LinearLayer) -> LinearLayer:
        """Return the layer that maps raw vectors to what `layer` maps standardized ones to."""
        weight = layer.weight / self.std
        return LinearLayer(weight, layer.bias - weight @ self.mean)


def solve_labels(
    vectors: FloatArray,
    truth: IntArray,
    n_labels: int,
    strength: float,
    row_weights: FloatArray | None = None,
) -> LinearLayer:
    """Solve a multinomial logistic regression.

    Args:
        vectors: (N, D), standardized.
        truth: (N,) ids of labels.
        n_labels: K. A label without rows gets no weights, and as its bias that of a probability of
            less than one row.
        strength: of the regularization.
        row_weights: (N,) of the rows in the mean loss; None = 1 each.

    Returns:
        The layer of K logits.
    """
    seen = np.unique(truth)
    weight = np.zeros((n_labels, vectors.shape[1]))
    bias = np.full(n_labels, -np.log(len(truth) + 1.0))
    if len(seen) == 1:
        bias[seen] = 0.0
        return LinearLayer(weight, bias)
    coefficients, intercepts = _logistic(vectors, truth, strength, row_weights)
    if len(seen) == 2:  # one logit, of the second label against the first
        coefficients = np.concatenate([-coefficients, coefficients]) / 2.0
        intercepts = np.concatenate([-intercepts, intercepts]) / 2.0
    weight[seen], bias[seen] = coefficients, intercepts
    return LinearLayer(weight, bias)


def solve_questions(
    vectors: FloatArray, truth: IntArray, n_labels: int, strength: float
) -> LinearLayer:
    """Solve a logistic regression for each of K yes/no questions, "is it label k?".

    Returns:
        The layer of 2 K logits, (no, yes) for each label; see :func:`solve_labels`.
    """
    layers = [
        solve_labels(vectors, (truth == label).astype(np.int64), 2, strength)
        for label in range(n_labels)
    ]
    return LinearLayer(
        np.concatenate([layer.weight for layer in layers]),
        np.concatenate([layer.bias for layer in layers]),
    )


def solve_numbers(vectors: FloatArray, truth: FloatArray, strength: float) -> LinearLayer:
    """Solve a ridge regression for each of A axes, with squared error.

    Args:
        vectors: (N, D), standardized.
        truth: (N, A), NaN = missing. An axis without any truth is predicted as 0.
        strength: of the regularization.

    Returns:
        The layer of A values.
    """
    n_axes = truth.shape[1]
    weight, bias = np.zeros((n_axes, vectors.shape[1])), np.zeros(n_axes)
    for axis in range(n_axes):
        known = ~np.isnan(truth[:, axis])
        if known.any():
            model = Ridge(alpha=strength * int(known.sum()))
            model.fit(vectors[known], truth[known, axis])
            weight[axis], bias[axis] = model.coef_, model.intercept_
    return LinearLayer(weight, bias)


def _logistic(
    vectors: FloatArray, truth: IntArray, strength: float, row_weights: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    total = len(truth) if row_weights is None else row_weights.sum()
    model = LogisticRegression(C=1.0 / (strength * total), max_iter=_MAX_ITERATIONS, tol=_TOLERANCE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(vectors, truth, sample_weight=row_weights)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        logger.warning(
            "--probe: not converged in %d iterations at strength %g", _MAX_ITERATIONS, strength
        )
    return model.coef_, model.intercept_
