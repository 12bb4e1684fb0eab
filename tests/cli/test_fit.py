"""``emo_fairseq.fit`` with a real training, scoring and prediction."""

import sys

import pytest

import emo_fairseq
from data_prep.schema import read_manifest
from emo_fairseq.cli import processes
from emo_fairseq.evaluation.predictions import read


@pytest.fixture
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_fitted_model_predicts_and_is_scored(copy_toy, started, in_a_folder, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(in_a_folder))
    data, options = copy_toy(), {"modality": "A", "quick": True, "cpu": True, "no_report": True}
    fitted = emo_fairseq.fit(data, **options)
    folder = in_a_folder / "checkpoints/toy/A-ET-scratch-tiny/probe"
    assert fitted.checkpoint == folder / "checkpoint_best.pt"
    assert fitted.split == "test"
    monkeypatch.chdir("/")  # as a notebook may do
    assert len(read(fitted.predictions)) == 12
    uar = fitted.metrics["uar"]
    assert 0 <= uar.low <= uar.value <= uar.high <= 1
    assert f"{uar.value:.3f}" in repr(fitted)
    audio = data / str(read_manifest(data / "test.tsv")[0].audio)
    prediction = fitted.predict(audio)
    assert prediction.label == read(fitted.predictions)[0]["prediction"]
    assert len(fitted.predict([audio, audio])) == 2
    assert fitted.evaluate("test")["uar"] == uar
    assert fitted.evaluate("valid")["uar"] != uar
    monkeypatch.chdir(in_a_folder)
    again = emo_fairseq.fit(data, **options)
    assert again.metrics == fitted.metrics
    assert not list(in_a_folder.glob("*.log")), "logs are kept of commands that fail"
    assert sum("--probe: solved" in printed for printed in started) == 1, "it is not solved again"


def test_commands_print_into_a_file(tmp_path, capfd):
    log = tmp_path / "log"
    program = "import sys; print('out'); sys.exit('error: why')"
    with processes.logged_to(log):
        assert processes.run([sys.executable, "-c", program]) == 1
        processes.write_error("explained")
    assert capfd.readouterr() == ("", "")
    assert sorted(log.read_text().splitlines())[-3:] == ["error: why", "explained", "out"]
    assert processes.run([sys.executable, "-c", program], discard_output=True) == 1
    assert capfd.readouterr().err == "error: why\n"
