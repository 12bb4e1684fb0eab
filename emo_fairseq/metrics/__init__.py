"""Metrics as pure functions of summable sufficient statistics.

Each metric is independent of batch size and number of ranks: a batch is reduced to a float64 array
(a confusion matrix, moments), which is summed over batches and ranks, and metrics are computed from
the sum. Statistics are tensors on the device of their batch, or NumPy arrays: see :mod:`.arrays`.
Truth comes before prediction everywhere. Metrics are Python floats; an undefined one is NaN, not 0
or 1.

    truth, prediction --confusion, moments--> array --(+ over batches and ranks)--> metrics

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
    macro_precision,
    precision_per_class,
    recall_per_class,
    unweighted_average_recall,
    weighted_f1,
    weighted_precision,
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
    sd_ratio,
)
from emo_fairseq.metrics.votes import majority_ids, shares, vote_metrics, vote_rows

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
    "macro_precision",
    "majority_ids",
    "mean_absolute_error",
    "mean_squared_error",
    "moment_rows",
    "moments",
    "number_metrics",
    "pearson_cc",
    "precision_per_class",
    "recall_per_class",
    "root_mean_squared_error",
    "sd_ratio",
    "shares",
    "unweighted_average_recall",
    "vote_metrics",
    "vote_rows",
    "weighted_f1",
    "weighted_precision",
]
