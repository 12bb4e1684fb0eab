"""Losses as pure functions: no state, no fairseq, no reduction over the batch.

Each computes in float32 (float64 if the logits or values are float64), whatever the model's
precision, and returns one loss per utterance, (B,), so that the criterion alone decides on sum or
mean. Only :func:`concordance_loss` is a formula over the batch: it returns one loss per axis, (A,).
A class target is an id in [0, K); a NaN in a real-valued target is a missing value.
"""

from emo_fairseq.losses.classification import (
    CLASS_WEIGHTINGS,
    RowLoss,
    binary_pairs,
    class_weights_from_counts,
    cross_entropy,
    focal,
)
from emo_fairseq.losses.regression import (
    CONCORDANCE_FLOOR,
    absolute_error,
    axis_mean,
    concordance_loss,
    squared_error,
)

__all__ = [
    "CLASS_WEIGHTINGS",
    "CONCORDANCE_FLOOR",
    "RowLoss",
    "absolute_error",
    "axis_mean",
    "binary_pairs",
    "class_weights_from_counts",
    "concordance_loss",
    "cross_entropy",
    "focal",
    "squared_error",
]
