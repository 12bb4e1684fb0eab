"""The section on dialogues: on the page, in metrics.json, and absent where there are none."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from report_cases import label_rows, number_rows, write_data, write_predictions

from data_prep.schema import read_manifest, write_manifest
from emo_fairseq.evaluation import functional
from emo_fairseq.evaluation.statistics import read_predictions
from emo_fairseq.report import __main__ as command
from emo_fairseq.report.plots import dialogues
from emo_fairseq.report.scored_split import read_scored_split


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir whose test split has 12 dialogues of 5 turns, of two speakers."""
    folder = write_data(tmp_path_factory.mktemp("data"))
    rows = [
        replace(row, dialogue=f"d{n // 5}", turn=n % 5, speaker=f"s{n % 2}")
        for n, row in enumerate(read_manifest(folder / "test.tsv"))
    ]
    write_manifest(folder / "test.tsv", rows)
    return folder


def report(monkeypatch: pytest.MonkeyPatch, predictions: Path, data: Path) -> tuple[str, dict]:
    out = predictions.with_name("report")
    words = ["report", predictions, "--output", out, "--data", data, "--resamples", "20"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    command.main()
    content = json.loads((out / "metrics.json").read_text("utf-8"))
    return (out / "report.html").read_text("utf-8"), content["test"]


def test_dialogues_have_tables_a_figure_and_metrics(
    monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path
) -> None:
    rows = label_rows()
    predictions = write_predictions(tmp_path / "predictions.tsv", rows)
    html, metrics = report(monkeypatch, predictions, data)
    found = metrics["dialogues"]
    assert (found["n"], found["turns"]["speaker"], found["turns"]["position_0"]) == (12, 36, 12)
    # Emotions go round by three, and a speaker's previous turn is two before: all are shifts.
    assert (found["shift_share"], found["turns"]["stay"]) == (1.0, 0)
    later = [n for n in range(60) if n % 5 >= 2]
    truth, predicted = ([str(rows[n][key]) for n in later] for key in ("truth", "prediction"))
    shift = found["metrics"]["uar_shift"]
    assert shift["value"] == pytest.approx(functional.uar(truth, predicted))
    assert shift["low"] <= shift["value"] <= shift["high"]
    assert found["metrics"]["uar_stay"]["value"] is None
    assert found["metrics"]["uar_speaker_reference"]["value"] == 0.0
    for text in (
        "Emotion shifts, 1.000 of turns with a previous turn; 12 dialogues, 95 % bootstrap",
        "uses truth, and is no system to compare with",
        "By earlier turns of the speaker",
        "By earlier turns of the dialogue",
    ):
        assert text in html
    assert (tmp_path / "report" / "figures" / "dialogues.svg").is_file()


def test_without_dialogues_there_is_no_section(data: Path, tmp_path: Path) -> None:
    cases = ((number_rows(["valence"]), data), (label_rows(), write_data(tmp_path / "data")))
    for number, (rows, folder) in enumerate(cases):
        file = write_predictions(tmp_path / f"{number}.tsv", rows)
        scored = read_scored_split(
            "", "test", read_predictions(file)["test"], folder, None, None, 2
        )
        assert scored.dialogues is None
        assert list(dialogues.plots(scored)) == []
