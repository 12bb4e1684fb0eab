"""The environment of a training: written once, and compared by whoever goes on or repeats it."""

import json
import logging
import subprocess

import pytest
from omegaconf import OmegaConf

from emo_fairseq.tasks.environment import (
    checkout_commit,
    current_environment,
    record_environment,
)
from emo_fairseq.tasks.run_config import RunConfig


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fairseq-train"])
    return tmp_path / "environment.json"


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_resumed_training_keeps_the_record_and_names_what_is_other(file, caplog):
    record_environment(file.parent, on_cpu=True, is_resumed=False)
    written = json.loads(file.read_text())
    assert written == current_environment(on_cpu=True).model_dump()
    record_environment(file.parent, on_cpu=True, is_resumed=True)
    assert warnings(caplog) == []
    earlier = {**written, "numpy": "1.26.4", "gpus": ["A100"]}
    file.write_text(json.dumps(earlier))
    record_environment(file.parent, on_cpu=True, is_resumed=True)
    (warning,) = warnings(caplog)
    assert f"(numpy 1.26.4 -> {written['numpy']}, gpus A100 -> none)" in warning
    assert json.loads(file.read_text()) == earlier
    record_environment(file.parent, on_cpu=True, is_resumed=False)  # trained anew
    assert json.loads(file.read_text()) == written


def test_a_record_of_an_older_version_has_no_commit_to_compare(file, caplog):
    record_environment(file.parent, on_cpu=True, is_resumed=False)
    written = json.loads(file.read_text())
    file.write_text(json.dumps({name: x for name, x in written.items() if name != "commit"}))
    record_environment(file.parent, on_cpu=True, is_resumed=True)
    assert warnings(caplog) == []


def test_the_commit_of_a_checkout(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(tmp_path)]

    def run(*words):
        return subprocess.run([*git, *words], check=True, capture_output=True, text=True).stdout

    assert checkout_commit(tmp_path) == ""
    run("init", "-q")
    file = tmp_path / "a.py"
    file.write_text("1")
    run("add", "a.py")
    run("commit", "-q", "-m", "first")
    commit = run("rev-parse", "HEAD").strip()
    assert checkout_commit(tmp_path) == commit
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of_a_hook"))
    assert checkout_commit(tmp_path) == commit
    file.write_text("2")
    assert checkout_commit(tmp_path) == f"{commit}-dirty"
    (tmp_path / "package").mkdir()
    assert checkout_commit(tmp_path / "package") == ""


def test_a_damaged_record_stops_no_training(file, caplog):
    file.write_text("{")
    record_environment(file.parent, on_cpu=True, is_resumed=True)
    (warning,) = warnings(caplog)
    assert "environments are not compared: " in warning
    assert str(file) in warning


@pytest.mark.parametrize("restored", ["checkpoint_last.pt", "elsewhere/checkpoint_last.pt"])
def test_a_checkpoint_of_another_folder_is_no_resumed_training(tmp_path, monkeypatch, restored):
    checkpoint = tmp_path / "run" / restored
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    run = {
        "task": {},
        "optimizer": {"_name": "adam"},
        "common": {"cpu": True},
        "distributed_training": {"distributed_rank": 0},
        "checkpoint": {
            "no_save": False,
            "save_dir": str(tmp_path / "run"),
            "restore_file": str(checkpoint),
        },
    }
    recorded = []
    monkeypatch.setattr(
        "emo_fairseq.tasks.run_config.record_environment", lambda *given: recorded.append(given)
    )
    RunConfig(OmegaConf.create(run).task).write()
    is_resumed = restored == "checkpoint_last.pt"
    assert recorded == [(tmp_path / "run", True, is_resumed)]
