"""Metrics as pure functions of summable sufficient statistics.

Two steps keep every metric the same at any batch size and on any number of ranks: a batch becomes a
float64 tensor (a confusion, moments) to be added to that of any other batch, and metrics are
derived from the sum alone. Truth comes before prediction everywhere. Metrics are Python floats; an
undefined one is NaN, never a flattering 0 or 1.

    truth, prediction --confusion, moments--> tensor --(+ over batches and ranks)--> metrics

:mod:`emo_fairseq.evaluation` has the same metrics of two plain lists.
"""

from emo_fairseq.metrics.classification import (
    CONFUSION_METRICS,
    accuracy,
    confusion,
    confusion_rows,
    constant_confusion,
    f1_per_class,
    label_metrics,
    macro_f1,
    precision_per_class,
    recall_per_class,
    unweighted_average_recall,
    weighted_f1,
)
from emo_fairseq.metrics.corpora import (
    binary_confusions,
    binary_metrics,
    binary_rows,
    cmu_metrics,
    cmu_rows,
    cmu_statistics,
    log_odds,
)
from emo_fairseq.metrics.regression import (
    MOMENT_METRICS,
    concordance_cc,
    mean_absolute_error,
    mean_squared_error,
    moment_rows,
    moments,
    number_metrics,
    pearson_cc,
    root_mean_squared_error,
)

__all__ = [
    "CONFUSION_METRICS",
    "MOMENT_METRICS",
    "accuracy",
    "binary_confusions",
    "binary_metrics",
    "binary_rows",
    "cmu_metrics",
    "cmu_rows",
    "cmu_statistics",
    "concordance_cc",
    "confusion",
    "confusion_rows",
    "constant_confusion",
    "f1_per_class",
    "label_metrics",
    "log_odds",
    "macro_f1",
    "mean_absolute_error",
    "mean_squared_error",
    "moment_rows",
    "moments",
    "number_metrics",
    "pearson_cc",
    "precision_per_class",
    "recall_per_class",
    "root_mean_squared_error",
    "unweighted_average_recall",
    "weighted_f1",
]
