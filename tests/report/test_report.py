"""From a predictions file to figures, table and metrics.json."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from codes import raises
from report_cases import label_rows, number_rows, write_predictions
from sklearn.metrics import balanced_accuracy_score, f1_score

from emo_fairseq import metrics
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.statistics import from_rows, metrics_and_baseline, read_predictions
from emo_fairseq.report import __main__ as command

TRUTH = ["sad", "sad", "sad", "happy", "happy", "angry"]
PREDICTION = ["sad", "happy", "sad", "happy", "sad", "happy"]
LABELS = ["happy", "sad", "angry", "neutral"]


def certain_rows(split: str = "test") -> list[dict[str, str | float]]:
    return [
        {
            "id": f"u{number}",
            "split": split,
            "truth": truth,
            "prediction": prediction,
            **{f"probability_{label}": float(label == prediction) for label in LABELS},
        }
        for number, (truth, prediction) in enumerate(zip(TRUTH, PREDICTION, strict=True))
    ]


def as_read(rows: list[dict[str, str | float]], folder: Path) -> list[dict[str, str]]:
    return predictions.read(write_predictions(folder / "p.tsv", rows))


def metrics_of(rows: list[dict[str, str]]) -> dict[str, float]:
    return metrics_and_baseline(from_rows(rows))


def test_label_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    figures = metrics_of(as_read(certain_rows(), tmp_path))
    assert figures["uar"] == pytest.approx(balanced_accuracy_score(TRUTH, PREDICTION))
    assert figures["weighted_f1"] == pytest.approx(f1_score(TRUTH, PREDICTION, average="weighted"))
    assert figures["recall_sad"] == pytest.approx(2 / 3)
    assert figures["f1_sad"] == pytest.approx(f1_score(TRUTH, PREDICTION, average=None)[2])
    assert math.isnan(figures["recall_neutral"])
    assert figures["wa_majority"] == pytest.approx(0.5)
    assert figures["uar_majority"] == pytest.approx(1 / 3)


def test_a_missing_number_is_left_out(tmp_path: Path) -> None:
    truth, prediction = [0.1, 0.5, math.nan, 0.9], [0.2, 0.4, 0.9, 0.8]
    rows: list[dict[str, str | float]] = [
        {"id": f"u{n}", "split": "test", "truth_valence": t, "prediction_valence": p}
        for n, (t, p) in enumerate(zip(truth, prediction, strict=True))
    ]
    figures = metrics_of(as_read(rows, tmp_path))
    assert figures["mae"] == pytest.approx(0.1)
    assert 0.9 < figures["ccc"] < 1.0
    assert figures["mae_constant"] == pytest.approx(0.8 / 3)
    assert math.isnan(figures["ccc_constant"])


def test_cmu_scores_have_their_published_figures(tmp_path: Path) -> None:
    rows = number_rows(["sentiment_score"], scale=3.0)
    figures = metrics_of(as_read(rows, tmp_path))
    truth, prediction = (
        np.array([row[f"{kind}_sentiment_score"] for row in rows])
        for kind in ("truth", "prediction")
    )
    expected = metrics.cmu_metrics(metrics.cmu_statistics(truth, prediction))
    assert {name: figures[name] for name in expected} == pytest.approx(expected)


def test_yes_no_answers_have_theirs_beside_always_no(tmp_path: Path) -> None:
    rows = label_rows()
    for row in rows:
        for label in LABELS:
            row[f"probability_{label}"] = 0.9 if label == row["prediction"] else 0.2
    figures = metrics_of(as_read(rows, tmp_path))
    right = [(row["truth"] == "sad") == (row["prediction"] == "sad") for row in rows]
    assert figures["binary_accuracy_sad"] == pytest.approx(sum(right) / len(rows))
    assert figures["binary_accuracy_sad_always_no"] == pytest.approx(2 / 3)


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["report", *map(str, words)])
    command.main()


def test_the_command_prints_each_split_and_writes_valid_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_predictions(tmp_path / "p.tsv", [*certain_rows("test"), *certain_rows("valid")])
    run(monkeypatch, file, "--title", "mine")
    printed = capsys.readouterr().out
    assert "mine: test, 6 utterances" in printed
    assert "mine: valid, 6 utterances" in printed
    assert "undefined" in printed

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads((tmp_path / "p.metrics.json").read_text(), parse_constant=refuse)
    assert written["test"]["wa"] == pytest.approx(0.5)
    assert written["test"]["recall_neutral"] is None


def test_files_of_one_folder_keep_their_figures_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_predictions(tmp_path / "predictions.tsv", certain_rows()[:4])
    other = write_predictions(tmp_path / "predictions.meld.tsv", certain_rows())
    run(monkeypatch, own, other)
    written = [tmp_path / "metrics.json", tmp_path / "predictions.meld.metrics.json"]
    found = [json.loads(file.read_text())["test"]["wa"] for file in written]
    assert found == pytest.approx([3 / 4, 1 / 2])


def test_numbers_are_printed_beside_the_constant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, write_predictions(tmp_path / "p.tsv", number_rows(["valence", "arousal"])))
    printed = capsys.readouterr().out
    assert "CCC, valence" in printed
    assert "constant" in printed


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("id\tsplit\ttruth\tprediction\tprobability_sad\n", "predictions-empty"),
        ("id\tsplit\nu1\ttest\n", "predictions-invalid"),
        ("id\tsplit\ttruth_valence\nu1\ttest\t0.5\n", "predictions-invalid"),
        (
            "id\tsplit\ttruth\tprediction\tprobability_sad\nu1\ttest\tjoy\tsad\t1\n",
            "predictions-label-unknown",
        ),
        (
            "id\tsplit\ttruth\tprediction\tprobability_sad\nu1\ttest\tsad\tsad\thigh\n",
            "predictions-no-probability",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "p.tsv").write_text(predictions.with_last_line(content))
    with raises(code) as error:
        read_predictions(tmp_path / "p.tsv")
    assert "p.tsv: " in str(error.value)
