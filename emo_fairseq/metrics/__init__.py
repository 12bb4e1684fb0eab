"""Metrics as pure functions of summable sufficient statistics.

Two steps keep every figure the same at any batch size and on any number of ranks: a batch becomes a
float64 tensor (a confusion, moments) to be added to that of any other batch, and figures are
derived from the sum alone. Truth comes before prediction everywhere. Derived figures are Python
floats; an undefined one is NaN, never a flattering 0 or 1.

    truth, prediction --confusion, moments--> tensor --(+ over batches and ranks)--> figures
"""

from emo_fairseq.metrics.classification import (
    CONFUSION_METRICS,
    accuracy,
    confusion,
    confusion_rows,
    constant_confusion,
    f1_per_class,
    macro_f1,
    majority_baseline,
    precision_per_class,
    recall_per_class,
    unweighted_average_recall,
    weighted_f1,
)
from emo_fairseq.metrics.corpora import (
    binary_confusions,
    binary_metrics,
    cmu_metrics,
    cmu_statistics,
    log_odds,
)
from emo_fairseq.metrics.regression import (
    MOMENT_METRICS,
    concordance_cc,
    mean_absolute_error,
    moments,
    pearson_cc,
    root_mean_squared_error,
)

__all__ = [
    "CONFUSION_METRICS",
    "MOMENT_METRICS",
    "accuracy",
    "binary_confusions",
    "binary_metrics",
    "cmu_metrics",
    "cmu_statistics",
    "concordance_cc",
    "confusion",
    "confusion_rows",
    "constant_confusion",
    "f1_per_class",
    "log_odds",
    "macro_f1",
    "majority_baseline",
    "mean_absolute_error",
    "moments",
    "pearson_cc",
    "precision_per_class",
    "recall_per_class",
    "root_mean_squared_error",
    "unweighted_average_recall",
    "weighted_f1",
]
