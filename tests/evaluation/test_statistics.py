"""Predictions as arrays: some of the rows, several folds, several runs, and the baselines."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    NumberPredictions,
    align,
    keys_of,
    metrics_and_baseline,
    pool,
    select,
)

NAN = float("nan")


def labels(ids: str, truth: list[int], prediction: list[int]) -> LabelPredictions:
    probability = np.eye(3)[prediction]
    return LabelPredictions(
        tuple(ids), ("a", "b", "c"), np.array(truth), np.array(prediction), probability
    )


def numbers(ids: str, *pairs: tuple[float, float]) -> NumberPredictions:
    truth, prediction = np.array(pairs).T
    return NumberPredictions(tuple(ids), ("valence",), truth[:, None], prediction[:, None])


def test_runs_are_aligned_on_the_rows_that_all_have() -> None:
    first = labels("wxyz", [0, 1, 2, 0], [0, 0, 0, 0])
    second = labels("zqxw", [0, 2, 1, 0], [1, 1, 1, 2])
    ours, theirs = align([first, second])
    assert ours.ids == theirs.ids == ("w", "x", "z")
    assert ours.truth.tolist() == theirs.truth.tolist() == [0, 1, 0]
    assert theirs.prediction.tolist() == [2, 1, 1]
    assert theirs.probability is not None
    assert theirs.probability.argmax(axis=1).tolist() == [2, 1, 1]
    assert align([first, first])[1] is first


def test_an_utterance_of_two_folds_is_two_rows() -> None:
    of_fold = {"1": labels("xy", [0, 1], [0, 0]), "2": labels("x", [2], [1])}
    pooled = pool(of_fold)
    assert keys_of(pooled) == (("1", "x"), ("1", "y"), ("2", "x"))
    assert pooled.truth.tolist() == [0, 1, 2]
    assert pooled.probability is None
    assert keys_of(select(pooled, [2, 0])) == (("2", "x"), ("1", "x"))
    (other,) = align([pooled, pool({"2": of_fold["2"]})])[1:]
    assert keys_of(other) == (("2", "x"),)


def test_folds_of_other_labels_are_not_pooled() -> None:
    first, second = labels("xy", [0, 1], [0, 1]), labels("z", [2], [2])
    for names in (("c", "b", "a"), ("a", "b", "c", "d")):
        with pytest.raises(UsageError) as error:
            pool({"1": first, "2": replace(second, names=names)})
        assert error.value.code == "folds-differ"


def test_the_compact_form_has_the_same_metrics_but_calibration() -> None:
    whole = labels("wxyz", [0, 1, 2, 0], [0, 1, 0, 0])
    values, compact = (of.statistics().metrics() for of in (whole, whole.compact()))
    assert compact == {key: x for key, x in values.items() if key in compact}
    assert values.keys() - compact.keys() == {"ece", "brier", "nll"}


def test_the_compact_form_keeps_more_labels_than_a_byte_holds() -> None:
    names = tuple(f"label{number}" for number in range(258))
    whole = LabelPredictions(("x", "y"), names, np.array([257, 1]), np.array([1, 1]))
    compact = whole.compact()
    assert (compact.truth.tolist(), compact.prediction.tolist()) == ([257, 1], [1, 1])
    of_ten = LabelPredictions(("x", "y"), names[:10], np.array([9, 1]), np.array([1, 1]))
    assert of_ten.compact().truth.dtype == np.uint8


def test_the_baseline_of_labels_is_the_most_frequent_one() -> None:
    truth = [0, 1, 1, 2, 1, 0]
    values = metrics_and_baseline(labels("abcdef", truth, [0] * 6))
    assert values["wa_majority"] == pytest.approx(3 / 6)
    assert values["uar_majority"] == pytest.approx(balanced_accuracy_score(truth, [1] * 6))
    expected = f1_score(truth, [1] * 6, average="weighted", zero_division=0)
    assert values["weighted_f1_majority"] == pytest.approx(expected)
    assert "ece_majority" not in values


def test_the_baseline_of_numbers_is_their_mean() -> None:
    of = numbers("abc", (0.2, 0.3), (0.4, 0.1), (NAN, 0.9))
    values = metrics_and_baseline(of)
    assert values["mae_constant"] == pytest.approx(0.1)
    assert values["mae"] == pytest.approx(0.2)


def test_some_rows_have_the_metrics_of_these_rows() -> None:
    of = numbers("abc", (0.2, 0.3), (0.4, 0.1), (0.9, 0.8))
    rows, derive = of.statistics()
    chosen = derive(rows[[0, 2]].sum(axis=0))
    assert chosen == pytest.approx(select(of, [0, 2]).statistics().metrics())


def test_a_metric_of_several_axes_is_the_mean_of_theirs() -> None:
    truth, prediction = np.random.default_rng(3).random((2, 60, 3))
    truth[0, 1] = np.nan
    axes = ("valence", "arousal", "dominance")
    ids = tuple(str(row) for row in range(60))
    values = NumberPredictions(ids, axes, truth, prediction).statistics().metrics()
    error = abs(truth[1:, 1] - prediction[1:, 1]).mean()
    assert values["mae_arousal"] == pytest.approx(float(error))
    assert values["mae"] == pytest.approx(sum(values[f"mae_{axis}"] for axis in axes) / 3)


def test_folds_together_have_the_metrics_of_the_whole() -> None:
    whole = labels("uvwxyz", [0, 1, 2, 0, 1, 2], [0, 1, 1, 0, 0, 2]).compact()
    pooled = pool({"1": select(whole, [0, 1]), "2": select(whole, range(2, 6))})
    assert pooled.statistics().metrics() == whole.statistics().metrics()
    assert keys_of(pooled)[1:3] == (("1", "v"), ("2", "w"))
