"""Commands of fairseq that are started here import less, and do the same."""

import subprocess
import sys

from emo_fairseq.cli import processes
from emo_fairseq.cli.fairseq_tool import started


def test_other_commands_are_started_as_they_are() -> None:
    module = processes.module("data_prep.validate", "data")
    assert started(module) == module
    assert started(["/opt/other/bin/fairseq-train", "data"])[0] == "/opt/other/bin/fairseq-train"


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
