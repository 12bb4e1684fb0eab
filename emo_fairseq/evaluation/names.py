"""Every metric by the key that logs, ``metrics.json`` and ``--metric`` use: one row each.

The key of a metric of one label or axis ends in its name (``recall_happy``, ``ccc_valence``); in a
log, the rows that it is of follow an ``@`` (``uar@text``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

RECALL = "recall_"  # before the name of a label
N_RESAMPLES = 1000  # of the bootstrap, unless a command is given another number


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: in files and options.
        name: as tables show it.
        low: the smallest value that it can have.
        high: the largest one.
        larger_is_better: whether a larger value is better; None if neither a larger nor a smaller
            one is.
    """

    key: str
    name: str
    low: float = 0.0
    high: float = 1.0
    larger_is_better: bool | None = True


def _error(key: str, name: str, high: float = math.inf) -> Metric:
    return Metric(key, name, 0.0, high, larger_is_better=False)


def _correlation(key: str, name: str) -> Metric:
    return Metric(key, name, -1.0, 1.0)


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        _error("loss", "loss"),
        # of labels
        Metric("uar", "UAR"),
        Metric("wa", "WA"),
        Metric("weighted_f1", "weighted F1"),
        Metric("macro_f1", "macro F1"),
        Metric("macro_precision", "macro precision"),
        Metric("weighted_precision", "weighted precision"),
        Metric("recall", "recall"),
        Metric("precision", "precision"),
        Metric("f1", "F1"),
        # of probabilities
        _error("ece", "ECE, 15 bins"),
        _error("brier", "Brier score", high=2.0),
        _error("nll", "log loss, nats"),
        # of probabilities and the votes of annotators
        _error("votes_ce", "cross-entropy to votes, nats"),
        _error("votes_kl", "KL divergence from votes, nats"),
        _error("votes_jsd", "JS divergence from votes, nats", high=math.log(2.0)),
        _error("votes_ece", "ECE to votes, 15 bins"),
        # of one yes/no question for each label
        Metric("binary_accuracy", "yes/no accuracy"),
        Metric("binary_f1", "yes/no weighted F1"),
        # of numbers
        _correlation("ccc", "CCC"),
        _correlation("pearson", "Pearson"),
        _error("mae", "MAE"),
        _error("rmse", "RMSE"),
        _error("mse", "MSE"),
        Metric("sd_ratio", "SD ratio", high=math.inf, larger_is_better=None),
        # of CMU's sentiment scores, with or without the utterances whose score is 0
        Metric("acc2_has0", "Acc2, has 0"),
        Metric("acc2_non0", "Acc2, non-0"),
        Metric("f1_has0", "F1, has 0"),
        Metric("f1_non0", "F1, non-0"),
        Metric("acc7", "Acc7"),
        Metric("acc7_non0", "Acc7, non-0"),
        Metric("acc5", "Acc5"),
        Metric("acc5_non0", "Acc5, non-0"),
        _correlation("corr", "Corr"),
        # of whole recordings: weighted by seconds, of turns, of speakers, of words
        Metric("time_uar", "time-weighted UAR"),
        Metric("time_uar_predicted", "time-weighted UAR, where predicted"),
        Metric("time_wa", "time-weighted WA"),
        Metric("time_recall", "time-weighted recall"),
        _error("time_missed", "speech without a prediction", high=1.0),
        _error("time_false_alarm", "predictions without speech"),
        Metric("segment_f1", "segment F1"),
        _correlation("time_ccc", "time-weighted CCC"),
        _error("der", "DER"),
        _error("der_missed", "DER, missed"),
        _error("der_false_alarm", "DER, false alarm"),
        _error("der_confusion", "DER, confusion"),
        _error("wer", "WER"),
    )
}

SENTIMENT_SCORE = "sentiment_score"  # the axis that has CMU's metrics
# The metrics that tables show first, in their order.
OF_LABELS = ("uar", "wa", "weighted_f1", "macro_f1")
OF_PRECISION = ("macro_precision", "weighted_precision")
OF_EACH_LABEL = ("recall", "precision", "f1")
OF_PROBABILITIES = ("ece", "brier", "nll")
OF_VOTES = ("votes_ce", "votes_kl", "votes_jsd", "votes_ece")
OF_NUMBERS = ("ccc", "pearson", "mae", "rmse", "sd_ratio")
OF_RECORDINGS = (
    "time_uar",
    "time_uar_predicted",
    "time_wa",
    "time_recall",
    "time_missed",
    "time_false_alarm",
    "segment_f1",
    "time_ccc",
    "der",
    "der_missed",
    "der_false_alarm",
    "der_confusion",
    "wer",
)
OF_CMU = ("acc2_has0", "acc2_non0", "f1_has0", "f1_non0", "acc7", "mae", "corr")


def split_key(key: str) -> tuple[Metric, str]:
    """Return the metric of a key, and the label or axis that it is of, or an empty string.

    A key that names no metric, such as that of a term of the loss, is a metric of its own.

    >>> split_key("ccc_valence")[0].name, split_key("ccc_valence")[1]
    ('CCC', 'valence')
    >>> split_key("f1_has0")[0].name, split_key("mae@text")[0].name
    ('F1, has 0', 'MAE')
    """
    words = key.partition("@")[0].split("_")
    for n_words in range(len(words), 0, -1):
        if metric := METRICS.get("_".join(words[:n_words])):
            return metric, "_".join(words[n_words:])
    return Metric(key, key.replace("_", " ")), ""


def is_larger_better(key: str) -> bool:
    """Return whether a larger value is better: false for losses and errors, and without direction.

    >>> is_larger_better("uar"), is_larger_better("mae_valence"), is_larger_better("sd_ratio")
    (True, False, False)
    """
    return bool(split_key(key)[0].larger_is_better)


def has_direction(key: str) -> bool:
    """Return whether of two values the larger, or the smaller, is the better one.

    >>> has_direction("mae"), has_direction("sd_ratio_valence")
    (True, False)
    """
    return split_key(key)[0].larger_is_better is not None


def bounds(key: str) -> tuple[float, float]:
    """Return the smallest and the largest value that a metric can have.

    >>> bounds("uar"), bounds("ccc_valence"), bounds("mae")
    ((0.0, 1.0), (-1.0, 1.0), (0.0, inf))
    """
    metric = split_key(key)[0]
    return metric.low, metric.high


def display_name(key: str, names: Sequence[str] = ()) -> str:
    """Return the name of a metric as tables show it.

    Args:
        key: of the metric.
        names: of the axes; with several, the metric without an axis is called their mean.

    >>> display_name("weighted_f1"), display_name("ccc_valence"), display_name("ccc", ["a", "b"])
    ('weighted F1', 'CCC, valence', 'CCC, mean')
    """
    metric, of = split_key(key)
    if not of and len(names) > 1:
        of = "mean"
    return f"{metric.name}, {of}" if of else metric.name
