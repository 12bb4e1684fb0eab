"""Commands of fairseq that are started here import less, and do the same."""

import subprocess
import sys
from pathlib import Path

from emo_fairseq.cli import processes
from emo_fairseq.cli.fairseq_tool import _is_this_package, started
from emo_fairseq.compat.verbosity import VERBOSE_SWITCH


def test_other_commands_are_started_as_they_are() -> None:
    module = processes.module("data_prep.validate", "data")
    assert started(module) == module
    assert started(["/opt/other/bin/fairseq-train", "data"])[0] == "/opt/other/bin/fairseq-train"


def test_a_sweep_imports_less_and_trains_the_same(tmp_path, toy_corpus, monkeypatch) -> None:
    monkeypatch.delenv(VERBOSE_SWITCH)
    config = Path(__file__).parents[2] / "examples" / "toy" / "config"
    words = [processes.tool("fairseq-hydra-train"), "--config-dir", str(config)]
    words += ["--config-name", "text", f"task.data={toy_corpus}", "optimization.max_update=1"]
    words += [f"common.user_dir={processes.PLUGIN}", f"hydra.run.dir={tmp_path}"]
    command = started([*words, f"checkpoint.save_dir={tmp_path / 'checkpoints'}"])
    assert command[0] == sys.executable
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert "trained to epoch 1, 1 update," in finished.stdout
    assert finished.stdout.count("--warmup-updates 50") == 1  # options are checked once
    assert (tmp_path / "checkpoints" / "checkpoint_last.pt").is_file()


def test_a_command_of_fairseq_knows_the_plugin_and_its_errors(tmp_path, monkeypatch) -> None:
    (tmp_path / "fairseq.py").write_text("raise SystemExit('of the current folder')")
    monkeypatch.chdir(tmp_path)
    words = [processes.tool("fairseq-train"), "--user-dir", str(processes.PLUGIN)]
    words += ["--task", "emotion_prediction", "--data", "none", "--optimizer", "adam", "--cpu"]
    command = started([*words, "--criterion", "emotion_regression"])
    assert command[0] == sys.executable
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.splitlines()[-1].endswith("[batch-size-missing]")
    assert "already been imported" not in finished.stdout


def test_the_plugin_is_known_by_its_name_from_any_folder(tmp_path, monkeypatch) -> None:
    """As the examples name it; an editable installation is not beside fairseq."""
    monkeypatch.chdir(tmp_path)
    assert _is_this_package("emo_fairseq")
    assert _is_this_package(str(processes.PLUGIN))
    assert not _is_this_package("other")
    (tmp_path / "emo_fairseq").mkdir()
    assert not _is_this_package("emo_fairseq"), "another one in the current folder"
