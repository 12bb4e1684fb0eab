"""``--normalize-by speaker`` from a training to every figure and to single predictions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.schema import read_manifest
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.model_folder import write_model_folder
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.report.__main__ import main as report_main

OPTIONS = """--arch robertaEMO_tiny --criterion emotion_classification --lr 0.003 --optimizer adam
    --batch-size 8 --probe --probe-strengths 0.1 --modality speech --speech-input log_mel"""
NOTE = "speech frames are normalized by speaker, from unlabeled rows of the scored split"


@pytest.fixture
def checkpoint(
    fairseq: Callable[..., Any], commands: dict[str, str], toy_corpus: Path, tmp_path: Path
) -> Path:
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'} --normalize-by speaker"
    fairseq("train", commands["validate"], OPTIONS, place)
    return tmp_path / "run" / "checkpoint_best.pt"


def test_figures_are_marked_and_predictions_equal_with_the_speakers(
    checkpoint: Path,
    fairseq: Callable[..., Any],
    commands: dict[str, str],
    toy_corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "predictions.tsv"
    place = f"--data {toy_corpus} --path {checkpoint} --valid-subset test --batch-size 5"
    log = fairseq("validate", commands["validate"], place, f"--save-predictions {file}").log
    assert f"figures are transductive: {NOTE}" in log
    monkeypatch.setattr("sys.argv", ["report", str(file)])
    report_main()
    assert f"transductive: {NOTE}" in capsys.readouterr().out
    assert json.loads((tmp_path / "metrics.json").read_text())["test"]["transductive"] == [NOTE]

    folder = write_model_folder(checkpoint, toy_corpus, tmp_path / "folder")
    rows = read_manifest(toy_corpus / "test.tsv")
    audio = [toy_corpus / str(row.audio) for row in rows]
    scored = {row["id"]: row for row in predictions.read(file)}
    for model in (checkpoint, folder):
        predictor = load_predictor(model, "cpu")
        together = predictor.predict(audio, speaker=[row.speaker for row in rows], batch_size=2)
        for row, prediction in zip(rows, together, strict=True):
            for label, probability in prediction.probabilities.items():
                expected = float(scored[row.id][f"probability_{label}"])
                assert probability == pytest.approx(expected, abs=1e-4)
            assert not prediction.warnings
        alone = predictor.predict(audio[0])
        assert "the speaker is not given: the item is normalized by itself" in alone.warnings[0]
        assert alone.probabilities != together[0].probabilities
