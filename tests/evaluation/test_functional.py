"""Metrics of two plain lists: one function for every key, the same numbers as a split has."""

import inspect
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emo_fairseq import evaluation, metrics
from emo_fairseq.evaluation import functional, predictions
from emo_fairseq.evaluation.names import METRICS, OF_RECORDINGS
from emo_fairseq.evaluation.predictions import label_row
from emo_fairseq.evaluation.statistics import LabelPredictions, NumberPredictions

LABELS = ("happy", "neutral", "sad")


def draw_labels(per_label: bool = False) -> LabelPredictions:
    draw = np.random.default_rng(0)
    truth, scores = draw.integers(0, 3, 60), draw.normal(size=(60, 3))
    scores[np.arange(60), truth] += 1.0
    shares = 1 / (1 + np.exp(-scores)) if per_label else np.exp(scores)
    shares = shares if per_label else shares / shares.sum(axis=1, keepdims=True)
    ids = tuple(str(n) for n in range(60))
    return LabelPredictions(ids, LABELS, truth, shares.argmax(axis=1), shares)


def draw_scores() -> NumberPredictions:
    draw = np.random.default_rng(1)
    truth = np.round(draw.normal(0.0, 1.5, (60, 1)) * 3) / 3
    prediction = truth + draw.normal(0.0, 0.7, (60, 1))
    truth[3] = np.nan
    ids = tuple(str(n) for n in range(60))
    return NumberPredictions(ids, ("sentiment_score",), truth, prediction)


@pytest.mark.parametrize("per_label", [False, True])
def test_labels_have_the_metrics_of_their_split(per_label: bool) -> None:
    split = draw_labels(per_label)
    assert split.probability is not None
    assert split.per_label is per_label
    truth = [LABELS[label] for label in split.truth.tolist()]
    prediction = [LABELS[label] for label in split.prediction.tolist()]
    rows = [dict(zip(LABELS, row, strict=True)) for row in split.probability.tolist()]
    expected = split.statistics().metrics()
    for key in (*metrics.CONFUSION_METRICS, "macro_precision", "weighted_precision"):
        assert getattr(evaluation, key)(truth, prediction) == pytest.approx(expected[key])
    for key in ("recall", "precision", "f1"):
        for label, value in getattr(evaluation, key)(truth, prediction).items():
            assert value == pytest.approx(expected[f"{key}_{label}"])
    if per_label:
        for key in ("binary_accuracy", "binary_f1"):
            for label, value in getattr(evaluation, key)(truth, rows).items():
                assert value == pytest.approx(expected[f"{key}_{label}"])
    else:
        for key in ("ece", "brier", "nll"):
            assert getattr(evaluation, key)(truth, rows) == pytest.approx(expected[key])


def test_numbers_have_the_metrics_of_their_split() -> None:
    split = draw_scores()
    truth, prediction = split.truth[:, 0].tolist(), split.prediction[:, 0].tolist()
    expected = split.statistics().metrics()
    assert {"ccc", "acc2_has0", "acc7_non0", "corr"} < expected.keys()
    for key, value in expected.items():
        assert getattr(evaluation, key)(truth, prediction) == pytest.approx(value)
    unknown = [None if value != value else value for value in truth]
    assert evaluation.mae(unknown, prediction) == evaluation.mae(truth, prediction)


def test_every_metric_has_a_function_and_every_function_is_named() -> None:
    functions = {
        name
        for name, value in vars(functional).items()
        if inspect.isfunction(value)
        and value.__module__ == functional.__name__
        and not name.startswith("_")
    }
    assert METRICS.keys() - {"loss", *OF_RECORDINGS} == functions - {"accuracy"}
    assert all(getattr(evaluation, name) is getattr(functional, name) for name in functions)
    with pytest.raises(AttributeError):
        _ = evaluation.no_metric


def test_integers_are_labels_too() -> None:
    assert evaluation.recall([10, 9, 9], [10, 9, 10]) == {9: 0.5, 10: 1.0}


def test_lists_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 truths"):
        evaluation.uar(["sad"], [])
    with pytest.raises(ValueError, match="1 truths"):
        evaluation.ece(["sad"], [])
    with pytest.raises(ValueError, match="no probabilities of the true labels sad"):
        evaluation.nll(["sad"], [{"happy": 1.0}])


def test_a_predictions_file_is_measured_without_torch(tmp_path: Path) -> None:
    rows = [
        {"id": f"u{n}", "split": "test", **label_row(("sad", "happy"), n % 2, 0, [0.75, 0.25])}
        for n in range(4)
    ]
    predictions.write(tmp_path / "predictions.tsv", rows)
    code = (
        "import sys; from emo_fairseq.report.__main__ import main; main();"
        "print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "predictions.tsv")]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout.splitlines()[-1] == "False False"
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["test"]["uar"] == 0.5
    assert written["test"]["wa_majority"] == 0.5


def test_tensors_and_arrays_have_the_same_statistics() -> None:
    of, scores = draw_labels(), draw_scores()
    parts = (
        (metrics.confusion, (of.truth, of.prediction, 3)),
        (metrics.binary_rows, (of.truth, of.probability > 0.5)),
        (metrics.binary_confusions, (of.truth, np.concatenate([of.probability] * 2, axis=1))),
        (metrics.vote_rows, (of.probability[::-1].copy(), of.probability)),
        (metrics.moments, (scores.truth, scores.prediction)),
        (metrics.cmu_statistics, (scores.truth[:, 0], scores.prediction[:, 0])),
    )
    for function, given in parts:
        tensors = [torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in given]
        of_arrays, of_tensors = function(*given), function(*tensors)
        torch.testing.assert_close(of_tensors, _as_tensors(of_arrays))


def _as_tensors(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: torch.from_numpy(of) for name, of in found.items()}
    return torch.from_numpy(found)


def test_tables_are_made_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['emotion-recognize'];"  # whose help imports no torch
        "import emo_fairseq.evaluation.names as names, emo_fairseq.evaluation.tables;"
        "print(names.display_name('ccc_valence'), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "CCC, valence False\n"


def test_no_rows_have_no_metric() -> None:
    for name in ("ece", "brier", "nll", "uar", "wa", "ccc", "mae"):
        assert math.isnan(getattr(evaluation, name)([], [])), name
    assert evaluation.binary_accuracy([], []) == {}
    assert evaluation.recall([], []) == {}


def test_a_missing_truth_is_left_out_of_labels_and_numbers() -> None:
    assert evaluation.uar([None, "a", "b"], ["a", "a", "b"]) == 1.0
    assert evaluation.mae([1.0, None, math.nan], [2.0, 3.0, 4.0]) == 1.0


def test_scalars_of_arrays_and_iterators_are_read() -> None:
    assert evaluation.uar(torch.tensor([0, 1]), torch.tensor([0, 0])) == 0.5
    assert evaluation.uar(np.array(["a", "b"]), np.array(["a", "b"])) == 1.0
    assert evaluation.uar(iter("ab"), iter("ab")) == 1.0


@pytest.mark.parametrize(
    ("name", "truth", "prediction", "message"),
    [
        ("uar", ["1"], [1], "one kind"),
        ("uar", ["a"], ["a", "b"], "1 truths, but 2"),
        ("mae", [1.0], [None], "prediction 0 is None"),
        ("brier", ["a", "b"], [{"a": 0.7, "b": 0.3}, {"a": 1.0}], "row 1: the probability of 'b'"),
        ("ece", ["a"], [{"a": -1, "b": 2}], "row 0"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    name: str, truth: Any, prediction: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(evaluation, name)(truth, prediction)
