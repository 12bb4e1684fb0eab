"""The figures in fairseq-validate's log, computed again from the predictions file by others."""

import math
from dataclasses import replace

import audmetric
import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from emo_fairseq.evaluation import predictions

sizes = pytest.mark.parametrize("batch_size", [1, 7, pytest.param(64, marks=pytest.mark.extended)])
AXES = ("valence", "arousal", "dominance")
LABELS = ["neutral", "happy", "sad", "angry"]
# Long enough that the model does not give everything one answer.
TRAINING = "--batch-size 8 --max-update 60 --seed 3 --disable-validation --modality text"


@pytest.fixture
def scored(fairseq, commands, tmp_path):
    """A function: the figures in the log of scoring a checkpoint, and its predictions."""

    def score(checkpoint, data, batch_size, subset="test"):
        file = tmp_path / "predictions.tsv"
        file.unlink(missing_ok=True)
        log = fairseq(
            "validate",
            commands["validate"],
            f"--path {checkpoint} --data {data} --valid-subset {subset}",
            f"--batch-size {batch_size} --save-predictions {file}",
        )
        return log.figures(subset), predictions.read(file)

    return score


def assert_in_log(figures, expected):
    """Equal to 1e-6, or to the six digits that fairseq prints of a figure of 1 and above."""
    for name, value in expected.items():
        tolerance = max(1e-6, 5e-6 * abs(value) if abs(value) >= 1 else 0.0)
        assert figures[name] == pytest.approx(value, abs=tolerance, rel=0, nan_ok=True), name


@sizes
def test_emotion(batch_size, trained, scored, toy_corpus):
    figures, rows = scored(trained(TRAINING), toy_corpus, batch_size, "train")
    truth = [row["truth"] for row in rows]
    prediction = [row["prediction"] for row in rows]
    assert len(rows) == 32
    assert len(set(prediction)) >= 3
    assert_in_log(figures, label_figures(truth, prediction))


@pytest.mark.extended
@sizes
def test_binary_emotion(batch_size, trained, scored, toy_corpus):
    learn = "--lr 0.01 --dropout 0 --attention-dropout 0 --pooler-dropout 0"
    checkpoint = trained(f"{TRAINING} --target binary_emotion {learn}")
    figures, rows = scored(checkpoint, toy_corpus, batch_size, "train")
    truth = [row["truth"] for row in rows]
    yes = {k: [float(row[f"probability_{k}"]) > 0.5 for row in rows] for k in LABELS}
    wrong = {
        k: [answer != (name == k) for answer, name in zip(yes[k], truth, strict=True)] for k in yes
    }
    assert any(any(yes[k]) and any(wrong[k]) for k in LABELS)
    expected = label_figures(truth, [row["prediction"] for row in rows])
    for label in LABELS:
        is_label = [name == label for name in truth]
        never = [False] * len(truth)
        for suffix, answer in (("", yes[label]), ("_always_no", never)):
            expected[f"binary_accuracy_{label}{suffix}"] = accuracy_score(is_label, answer)
            expected[f"binary_f1_{label}{suffix}"] = f1_score(is_label, answer, average="weighted")
    assert_in_log(figures, expected)


@sizes
def test_vad(batch_size, copy_toy, scored, trained):
    def lose_some(split, rows):
        missing = {"valence": None} if split == "test" else {}
        return [replace(row, **missing) if n % 5 == 0 else row for n, row in enumerate(rows)]

    data = copy_toy(lose_some)
    figures, rows = scored(trained(f"{TRAINING} --target vad"), data, batch_size)
    truth = {axis: numbers(rows, f"truth_{axis}") for axis in AXES}
    prediction = {axis: numbers(rows, f"prediction_{axis}") for axis in AXES}
    assert np.isnan(truth["valence"]).sum() == 3
    by_axis = {axis: value_figures(truth[axis], prediction[axis]) for axis in AXES}
    expected = {f"{name}_{axis}": x for axis in AXES for name, x in by_axis[axis].items()}
    for name in by_axis["valence"]:
        expected[name] = np.mean([by_axis[axis][name] for axis in AXES])
    assert abs(expected["ccc_valence"]) > 0.01
    assert_in_log(figures, expected)


def test_sentiment_score(copy_toy, fairseq, commands, scored, tmp_path):
    scores = [-3.0, -2.5, -1.4, -0.5, 0.0, 0.4, 1.5, 2.5, 3.0, 0.0, -1.0]

    def score(split, rows):
        return [
            replace(row, sentiment_score=scores[number % len(scores)] * (1 if number < 11 else -1))
            for number, row in enumerate(rows)
        ]

    data = copy_toy(score)
    place = f"--data {data} --save-dir {tmp_path} --target sentiment_score"
    fairseq("train", commands["train"], TRAINING, place)
    for batch_size in (1, 7, 64):
        figures, rows = scored(tmp_path / "checkpoint_last.pt", data, batch_size, "train")
        truth, prediction = (numbers(rows, f"{x}_sentiment_score") for x in ("truth", "prediction"))
        assert len(np.unique(np.round(prediction))) >= 3
        expected = value_figures(truth, prediction) | cmu_figures(truth, prediction)
        assert_in_log(figures, expected)


# -- the figures again, by scikit-learn, audmetric and numpy --------------------------------------


def label_figures(truth, prediction):
    recalls = recall_score(truth, prediction, labels=LABELS, average=None, zero_division=0)
    return {
        "wa": accuracy_score(truth, prediction),
        "uar": audmetric.unweighted_average_recall(truth, prediction),
        "weighted_f1": f1_score(truth, prediction, average="weighted", zero_division=0),
        "macro_f1": f1_score(truth, prediction, average="macro", zero_division=0),
        **{f"recall_{label}": recall for label, recall in zip(LABELS, recalls, strict=True)},
    }


def value_figures(truth, prediction):
    there = ~np.isnan(truth)
    truth, prediction = truth[there], prediction[there]
    return {
        "ccc": audmetric.concordance_cc(truth, prediction),
        "pearson": audmetric.pearson_cc(truth, prediction),
        "mae": audmetric.mean_absolute_error(truth, prediction),
        "rmse": math.sqrt(audmetric.mean_squared_error(truth, prediction)),
    }


def cmu_figures(truth, prediction):
    """As protocols.md words them, written here for one array of scores."""
    some = truth != 0
    signs = {
        "has0": (truth >= 0, prediction >= 0),
        "non0": (truth[some] > 0, prediction[some] > 0),
    }
    figures = {"corr": np.corrcoef(truth, prediction)[0, 1]}
    for form, (true, predicted) in signs.items():
        figures[f"acc2_{form}"] = accuracy_score(true, predicted)
        figures[f"f1_{form}"] = f1_score(true, predicted, average="weighted")
    for name, limit in (("acc7", 3), ("acc5", 2)):
        same = np.round(np.clip(truth, -limit, limit)) == np.round(
            np.clip(prediction, -limit, limit)
        )
        figures[name] = same.mean()
        figures[f"{name}_non0"] = same[some].mean()
    return figures


def numbers(rows, column):
    return np.array([float(row[column]) if row[column] else np.nan for row in rows])
