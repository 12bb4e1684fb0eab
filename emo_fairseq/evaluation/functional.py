"""Every metric as a function of two plain lists: truth, then prediction.

    >>> uar(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    0.75

Labels are strings or integers, of one kind; numbers are ints or floats. A row whose truth is None
or NaN is left out. Each function has the key of its metric in
:data:`emo_fairseq.evaluation.names.METRICS`, and is computed by the code that training and reports
use: statistics first, then the metric from their sum (:mod:`emo_fairseq.metrics`). An undefined
metric is NaN. All raise ValueError if the lists differ in length, or a prediction is missing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from emo_fairseq import metrics
from emo_fairseq.metrics import calibration
from emo_fairseq.metrics.arrays import Sums

Label = str | int
Probabilities = Sequence[Mapping[Label, float]]  # for each utterance, by label
Votes = Sequence[Mapping[Label, float]]  # for each utterance, by label
_Pair = tuple[np.ndarray, np.ndarray]


# -- labels ----------------------------------------------------------------------------------------


def wa(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the accuracy, in emotion recognition called weighted accuracy.

    ``correct / all``. Same as :func:`accuracy`, and as scikit-learn's ``accuracy_score``.

    >>> wa(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    0.6666666666666666
    """
    return metrics.accuracy(_confusion(truth, prediction))


accuracy = wa


def uar(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the unweighted average recall (Schuller et al. 2009), also called UA.

    ``1 / K * sum over labels k of correct_k / true_k``, over the K labels that occur in the truth.
    As scikit-learn's ``balanced_accuracy_score``.

    >>> uar(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    0.75
    """
    return metrics.unweighted_average_recall(_confusion(truth, prediction))


def weighted_f1(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the mean F1 of the labels, weighted by how often each is true.

    ``sum over k of true_k / N * F1_k``. As scikit-learn's ``f1_score(average="weighted")``.

    >>> round(weighted_f1(["sad", "sad", "happy"], ["sad", "happy", "happy"]), 4)
    0.6667
    """
    return metrics.weighted_f1(_confusion(truth, prediction))


def macro_f1(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the mean F1 of the labels in truth or prediction.

    As scikit-learn's ``f1_score(average="macro")``.

    >>> round(macro_f1(["sad", "sad", "sad"], ["sad", "happy", "sad"]), 4)
    0.4
    """
    return metrics.macro_f1(_confusion(truth, prediction))


def macro_precision(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the mean precision of the labels in truth or prediction.

    As scikit-learn's ``precision_score(average="macro", zero_division=0)``.

    >>> macro_precision(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    0.75
    """
    return metrics.macro_precision(_confusion(truth, prediction))


def weighted_precision(truth: Sequence[Label], prediction: Sequence[Label]) -> float:
    """Return the mean precision of the labels, weighted by how often each is true.

    ``sum over k of true_k / N * precision_k``. As scikit-learn's
    ``precision_score(average="weighted", zero_division=0)``.

    >>> round(weighted_precision(["sad", "sad", "happy"], ["sad", "happy", "happy"]), 4)
    0.8333
    """
    return metrics.weighted_precision(_confusion(truth, prediction))


def recall(truth: Sequence[Label], prediction: Sequence[Label]) -> dict[Label, float]:
    """Return the recall of each label, ``correct_k / true_k``; NaN for one that is never true.

    >>> recall(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    {'happy': 1.0, 'sad': 0.5}
    """
    return _per_label(truth, prediction, metrics.recall_per_class)


def precision(truth: Sequence[Label], prediction: Sequence[Label]) -> dict[Label, float]:
    """Return the precision of each label, ``correct_k / predicted_k``; 0 for one never predicted.

    >>> precision(["sad", "sad", "happy"], ["sad", "happy", "happy"])
    {'happy': 0.5, 'sad': 1.0}
    """
    return _per_label(truth, prediction, metrics.precision_per_class)


def f1(truth: Sequence[Label], prediction: Sequence[Label]) -> dict[Label, float]:
    """Return F1 of each label, ``2 correct_k / (true_k + predicted_k)``.

    >>> f1(["sad", "sad", "sad"], ["sad", "happy", "sad"])
    {'happy': 0.0, 'sad': 0.8}
    """
    return _per_label(truth, prediction, metrics.f1_per_class)


def _labels(*of: Iterable[Label]) -> list[Label]:
    """Return the labels that occur, in alphabetical or numerical order.

    Raises:
        ValueError: some are strings and others are numbers.
    """
    labels = {label for several in of for label in several}
    if len({isinstance(label, str) for label in labels}) > 1:
        names = ", ".join(map(repr, list(labels)[:4]))
        raise ValueError(f"labels are strings and numbers ({names}); give one kind")
    return sorted(labels)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _plain(values: Iterable[Any]) -> list[Any]:
    """Return scalars of NumPy and torch as plain values."""
    return [value.item() if hasattr(value, "item") else value for value in values]


def _pairs(truth: Iterable[Any], prediction: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    """Return both as lists of plain values, without the rows whose truth is missing.

    Raises:
        ValueError: they differ in length, or a prediction is missing.
    """
    true, predicted = _plain(truth), _plain(prediction)
    if len(true) != len(predicted):
        raise ValueError(f"{len(true)} truths, but {len(predicted)} predictions")
    rows = [pair for pair in zip(true, predicted, strict=True) if not _is_missing(pair[0])]
    for index, (_, value) in enumerate(rows):
        if _is_missing(value):
            raise ValueError(f"prediction {index} is {value}")
    return [pair[0] for pair in rows], [pair[1] for pair in rows]


def _ids(given: Iterable[Label], labels: Sequence[Label]) -> np.ndarray:
    number = {label: index for index, label in enumerate(labels)}
    return np.array([number[label] for label in given], dtype=np.int64)


def _confusion(truth: Sequence[Label], prediction: Sequence[Label]) -> np.ndarray:
    true, predicted = _pairs(truth, prediction)
    labels = _labels(true, predicted)
    return metrics.confusion(_ids(true, labels), _ids(predicted, labels), len(labels))


def _per_label(
    truth: Sequence[Label],
    prediction: Sequence[Label],
    metric: Callable[[Sums], list[float]],
) -> dict[Label, float]:
    true, predicted = _pairs(truth, prediction)
    values = metric(_confusion(true, predicted))
    return dict(zip(_labels(true, predicted), values, strict=True))


# -- probabilities ---------------------------------------------------------------------------------


def ece(truth: Sequence[Label], probabilities: Probabilities) -> float:
    """Return the expected calibration error with 15 bins of equal width (Guo et al. 2017).

    ``sum over bins b of n_b / N * |accuracy_b - mean confidence_b|``; the confidence is the
    probability of the most probable label, the first among equals.

    Args:
        truth: N labels.
        probabilities: of each utterance by label, as ``EmotionPredictor.predict`` returns them.

    >>> round(ece(["sad", "happy"], [{"happy": 0.2, "sad": 0.8}, {"happy": 0.4, "sad": 0.6}]), 4)
    0.4
    """
    true, probability = _probabilities(truth, probabilities)
    if not len(true):
        return math.nan
    of = calibration.confidences(true, probability.argmax(axis=1), probability)
    return calibration.calibration_error(calibration.bin_rows(of).sum(axis=0))


def brier(truth: Sequence[Label], probabilities: Probabilities) -> float:
    """Return the Brier score, from 0 to 2 (Brier 1950).

    The mean over utterances of ``sum over k of (p_k - y_k)²``, where y is 1 for the true label.

    Args:
        truth: N labels.
        probabilities: of each utterance by label.

    >>> round(brier(["sad"], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.08
    """
    true, probability = _probabilities(truth, probabilities)
    if not len(true):
        return math.nan
    rows = calibration.brier_rows(true, probability)
    return calibration.mean_over(rows.sum(), len(rows))


def nll(truth: Sequence[Label], probabilities: Probabilities) -> float:
    """Return the log loss in nats: the mean of ``-ln p_truth``; NaN where a p is 0.

    As scikit-learn's ``log_loss``.

    Args:
        truth: N labels.
        probabilities: of each utterance by label.

    >>> round(nll(["sad"], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.2231
    """
    true, probability = _probabilities(truth, probabilities)
    if not len(true):
        return math.nan
    rows = calibration.log_loss_rows(true, probability)
    return calibration.mean_over(rows.sum(), len(rows))


def votes_ce(votes: Votes, probabilities: Probabilities) -> float:
    """Return the cross-entropy to the votes of annotators in nats; NaN where a p is 0 and q is not.

    The mean over utterances of ``-sum over k of q_k ln p_k``, where q is the share of the votes for
    label k. Its smallest possible value is the mean entropy of the votes: see :func:`votes_kl`.

    Args:
        votes: of each utterance by label, numbers of votes or shares; a label may be left out.
        probabilities: of each utterance by label.

    >>> round(votes_ce([{"sad": 1, "happy": 1}], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.9163
    """
    return _of_votes(votes, probabilities)["votes_ce"]


def votes_kl(votes: Votes, probabilities: Probabilities) -> float:
    """Return the Kullback-Leibler divergence from the votes of annotators in nats.

    The mean over utterances of ``sum over k of q_k ln(q_k / p_k)``: the cross-entropy without the
    entropy of the votes, and so 0 of a perfect prediction.

    Args:
        votes: as of :func:`votes_ce`.
        probabilities: of each utterance by label.

    >>> round(votes_kl([{"sad": 1, "happy": 1}], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.2231
    """
    return _of_votes(votes, probabilities)["votes_kl"]


def votes_jsd(votes: Votes, probabilities: Probabilities) -> float:
    """Return the Jensen-Shannon divergence between votes and probabilities in nats (Lin 1991).

    The mean over utterances of ``(KL(q || m) + KL(p || m)) / 2`` with ``m = (p + q) / 2``: from 0
    to ln 2. The square of SciPy's ``jensenshannon``, which is a distance.

    Args:
        votes: as of :func:`votes_ce`.
        probabilities: of each utterance by label.

    >>> round(votes_jsd([{"sad": 1, "happy": 1}], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.0507
    """
    return _of_votes(votes, probabilities)["votes_jsd"]


def votes_ece(votes: Votes, probabilities: Probabilities) -> float:
    """Return the expected calibration error, with the share of votes in place of right or wrong.

    ``sum over bins b of n_b / N * |mean share_b - mean confidence_b|`` in 15 bins of equal width.
    The confidence is the probability of the most probable label, the share that of the votes for
    the same label: a model is calibrated if annotators choose its label as often as it expects.

    Args:
        votes: as of :func:`votes_ce`.
        probabilities: of each utterance by label.

    >>> round(votes_ece([{"sad": 1, "happy": 1}], [{"happy": 0.2, "sad": 0.8}]), 4)
    0.3
    """
    return _of_votes(votes, probabilities)["votes_ece"]


def _of_votes(votes: Votes, probabilities: Probabilities) -> dict[str, float]:
    """Return the metrics of votes.

    Raises:
        ValueError: a row without votes, with a negative number of them, or with votes for a label
            that has no probability.
    """
    counts, by_label = _pairs(votes, probabilities)
    # Any truth: that every label has a probability is all that is checked.
    labels = _labels(*by_label)
    _, probability = _probabilities(labels[:1] * len(by_label), by_label)
    for index, row in enumerate(counts):
        unknown = [label for label in row if label not in labels]
        numbers = [float(number) for number in row.values()]
        if unknown or not numbers or min(numbers) < 0 or not 0 < sum(numbers) < math.inf:
            raise ValueError(f"row {index}: {row} are no votes for {', '.join(map(str, labels))}")
    if not counts:
        return dict.fromkeys(("votes_ce", "votes_kl", "votes_jsd", "votes_ece"), math.nan)
    rows = [[float(row.get(label, 0.0)) for label in labels] for row in counts]
    shares = np.array(rows, dtype=np.float64)
    of_rows = metrics.vote_rows(shares / shares.sum(axis=1, keepdims=True), probability)
    return metrics.vote_metrics({name: values.sum(axis=0) for name, values in of_rows.items()})


def binary_accuracy(truth: Sequence[Label], probabilities: Probabilities) -> dict[Label, float]:
    """Return the accuracy of "is it label k?", yes where its probability is above 0.5, by label.

    IEMOCAP's binary evaluation, of ``--target binary_emotion``. Compare with always answering no.

    Args:
        truth: N labels.
        probabilities: of each utterance by label; they need not add up to 1.

    >>> binary_accuracy(["sad", "happy"], [{"happy": 0.7, "sad": 0.8}, {"happy": 0.9, "sad": 0.2}])
    {'happy': 0.5, 'sad': 1.0}
    """
    return _of_answers(truth, probabilities, metrics.accuracy)


def binary_f1(truth: Sequence[Label], probabilities: Probabilities) -> dict[Label, float]:
    """Return the weighted F1 of yes and no, by label; see :func:`binary_accuracy`.

    >>> binary_f1(["sad", "sad"], [{"happy": 0.1, "sad": 0.8}, {"happy": 0.3, "sad": 0.7}])
    {'happy': 1.0, 'sad': 1.0}
    """
    return _of_answers(truth, probabilities, metrics.weighted_f1)


def _of_answers(
    truth: Sequence[Label], probabilities: Probabilities, metric: Callable[[Sums], float]
) -> dict[Label, float]:
    true, probability = _probabilities(truth, probabilities)
    if not len(true):
        return {}
    counts = metrics.binary_rows(true, probability > 0.5).sum(axis=0)  # (K, 2, 2)
    return {
        label: metric(pair) for label, pair in zip(_labels(*probabilities), counts, strict=True)
    }


def _probabilities(truth: Sequence[Label], probabilities: Probabilities) -> _Pair:
    """Return true label ids (N,) and probabilities (N, K).

    Raises:
        ValueError: a row lacks the probability of a label, or has one outside [0, 1].
    """
    true, by_label = _pairs(truth, probabilities)
    labels = _labels(*by_label)
    if lacking := sorted({str(label) for label in true if label not in labels}):
        raise ValueError(f"no probabilities of the true labels {', '.join(lacking)}")
    for index, row in enumerate(by_label):
        for label in labels:
            if not 0 <= float(row.get(label, math.nan)) <= 1:
                raise ValueError(f"row {index}: the probability of {label!r} is {row.get(label)}")
    rows = [[float(row[label]) for label in labels] for row in by_label]
    shape = (len(rows), len(labels))
    return _ids(true, labels), np.array(rows, dtype=np.float64).reshape(shape)


# -- numbers ---------------------------------------------------------------------------------------


def ccc(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the concordance correlation coefficient (Lin 1989).

    ``2 cov / (var_truth + var_prediction + (mean_truth - mean_prediction)²)``, with divisor N. NaN
    if truth or prediction is constant.

    >>> round(ccc([0.0, 1.0, 2.0], [0.0, 1.0, 1.0]), 4)
    0.6667
    """
    return metrics.concordance_cc(_moments(truth, prediction))


def pearson(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return Pearson's correlation coefficient, ``cov / sqrt(var_truth var_prediction)``.

    NaN if truth or prediction is constant.

    >>> pearson([0.0, 1.0, 2.0], [0.0, 2.0, 4.0])
    1.0
    """
    return metrics.pearson_cc(_moments(truth, prediction))


def mae(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the mean absolute error, ``mean of |truth - prediction|``.

    >>> mae([0.0, 1.0], [1.0, 4.0])
    2.0
    """
    return metrics.mean_absolute_error(_moments(truth, prediction))


def mse(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the mean squared error, ``mean of (truth - prediction)²``.

    >>> mse([0.0, 1.0], [1.0, 8.0])
    25.0
    """
    return metrics.mean_squared_error(_moments(truth, prediction))


def rmse(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the root mean squared error, ``sqrt(mean of (truth - prediction)²)``.

    >>> rmse([0.0, 1.0], [1.0, 8.0])
    5.0
    """
    return metrics.root_mean_squared_error(_moments(truth, prediction))


def sd_ratio(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the standard deviation of the predictions over that of the truth; 1 is best.

    >>> sd_ratio([0.0, 1.0, 2.0], [0.0, 2.0, 4.0])
    2.0
    """
    return metrics.sd_ratio(_moments(truth, prediction))


def _moments(truth: Sequence[float | None], prediction: Sequence[float]) -> np.ndarray:
    return metrics.moments(*_numbers(truth, prediction))


def _numbers(truth: Sequence[float | None], prediction: Sequence[float]) -> _Pair:
    true, predicted = _pairs(truth, prediction)
    return np.array(true, dtype=np.float64), np.array(predicted, dtype=np.float64)


# -- CMU-MOSI and CMU-MOSEI: sentiment scores from -3 to 3 -----------------------------------------
# As in MMSA (github.com/thuiar/MMSA, utils/metricsTop.py); see emo_fairseq.metrics.cmu_metrics.


def acc2_has0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the accuracy of negative against non-negative, where a score of 0 is non-negative.

    >>> acc2_has0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    0.6666666666666666
    """
    return _cmu(truth, prediction)["acc2_has0"]


def acc2_non0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the accuracy of negative against positive, without the rows whose truth is 0.

    >>> acc2_non0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    1.0
    """
    return _cmu(truth, prediction)["acc2_non0"]


def f1_has0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the weighted F1 of negative against non-negative.

    >>> round(f1_has0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0]), 4)
    0.6667
    """
    return _cmu(truth, prediction)["f1_has0"]


def f1_non0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the weighted F1 of negative against positive, without the rows whose truth is 0.

    >>> f1_non0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    1.0
    """
    return _cmu(truth, prediction)["f1_non0"]


def acc7(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the accuracy of 7 classes: scores clipped to ±3, rounded half to even.

    >>> acc7([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    0.6666666666666666
    """
    return _cmu(truth, prediction)["acc7"]


def acc7_non0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return :func:`acc7` without the rows whose truth is 0.

    >>> acc7_non0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    0.5
    """
    return _cmu(truth, prediction)["acc7_non0"]


def acc5(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return the accuracy of 5 classes: scores clipped to ±2, rounded half to even.

    >>> acc5([0.0, -1.0, 2.6], [-0.2, -1.4, 2.0])
    1.0
    """
    return _cmu(truth, prediction)["acc5"]


def acc5_non0(truth: Sequence[float | None], prediction: Sequence[float]) -> float:
    """Return :func:`acc5` without the rows whose truth is 0.

    >>> acc5_non0([0.0, -1.0, 2.6], [-0.2, -1.4, 1.0])
    0.5
    """
    return _cmu(truth, prediction)["acc5_non0"]


#: Pearson's correlation, as CMU's corpora call it.
corr = pearson


def _cmu(truth: Sequence[float | None], prediction: Sequence[float]) -> dict[str, float]:
    return metrics.cmu_metrics(metrics.cmu_statistics(*_numbers(truth, prediction)))
