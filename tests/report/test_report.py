"""From a predictions file to figures, table and metrics.json."""

import json
import math
import sys
from pathlib import Path

import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from emo_fairseq import predictions
from emo_fairseq.report import __main__ as command
from emo_fairseq.report.figures import figures_of

TRUTH = ["sad", "sad", "sad", "happy", "happy", "angry"]
PREDICTION = ["sad", "happy", "sad", "happy", "sad", "happy"]
LABELS = ["happy", "sad", "angry", "neutral"]


def label_rows(split: str = "test") -> list[dict[str, str | float]]:
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
    predictions.write(folder / "p.tsv", rows)
    return predictions.read(folder / "p.tsv")


def test_label_figures_are_those_of_scikit_learn(tmp_path: Path) -> None:
    figures = figures_of(as_read(label_rows(), tmp_path))
    assert figures["uar"] == pytest.approx(balanced_accuracy_score(TRUTH, PREDICTION))
    assert figures["weighted_f1"] == pytest.approx(f1_score(TRUTH, PREDICTION, average="weighted"))
    assert figures["recall_sad"] == pytest.approx(2 / 3)
    assert math.isnan(figures["recall_neutral"])
    assert figures["wa_majority"] == pytest.approx(0.5)
    assert figures["uar_majority"] == pytest.approx(1 / 3)


def test_a_missing_number_is_left_out(tmp_path: Path) -> None:
    truth, prediction = [0.1, 0.5, math.nan, 0.9], [0.2, 0.4, 0.9, 0.8]
    rows: list[dict[str, str | float]] = [
        {"id": f"u{n}", "split": "test", "truth_valence": t, "prediction_valence": p}
        for n, (t, p) in enumerate(zip(truth, prediction, strict=True))
    ]
    figures = figures_of(as_read(rows, tmp_path))
    assert figures["mae_valence"] == pytest.approx(0.1)
    assert 0.9 < figures["ccc_valence"] < 1.0


def test_the_command_prints_each_split_and_writes_valid_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions.write(tmp_path / "p.tsv", [*label_rows("test"), *label_rows("valid")])
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path / "p.tsv"), "--title", "mine"])
    command.main()
    printed = capsys.readouterr().out
    assert "mine: test, 6 utterances" in printed
    assert "mine: valid, 6 utterances" in printed

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    written = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert written["test"]["wa"] == pytest.approx(0.5)
    assert written["test"]["recall_neutral"] is None
