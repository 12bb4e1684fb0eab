"""Commands of their own print one sentence for a mistake; importing them registers nothing."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = ["--config-dir", "nothere", "--config-name", "x", "runs"]
VAD = ["--predictions", "y", "--output", "z"]
MISTAKES = {
    "report.__main__": ["nothere.tsv"],
    "experiments.collect": ["nothere"],
    "experiments.score": ["nothere", "--data", "x"],
    "experiments.search": [*SWEEP, "a=1,2"],
    "experiments.sweep": [*SWEEP, "common.seed=1"],
    "vad_to_emotion.__main__": ["apply", "--data", "x", "--forest", "nothere", *VAD],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_its_code(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMO_FAIRSEQ_TRACEBACK", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(sys, "argv", [name, *MISTAKES[name]])
    with pytest.raises(ValueError, match=r"\w") as mistake:
        importlib.import_module(f"emo_fairseq.{name}").main()
    sys.excepthook(type(mistake.value), mistake.value, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert line.endswith(f" [{mistake.value.code}]")


def test_hydras_plugin_leaves_the_package_for_fairseq_to_import() -> None:
    """Of a package that is imported before --user-dir, fairseq imports no tasks and no models."""
    code = """
import sys
import hydra_plugins.emo_fairseq_errors
assert not [name for name in sys.modules if name.split(".")[0] == "emo_fairseq"]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fairseq_hydra_train_finds_the_task_as_a_command_of_its_own(tmp_path: Path) -> None:
    """In a new interpreter: tests that fork have imported the plugin's package before."""
    repository = Path(__file__).parents[1]
    words = ["--config-dir", repository / "examples/toy/config", "--config-name", "speech"]
    words += [f"common.user_dir={repository / 'emo_fairseq'}", f"task.data={tmp_path / 'nothere'}"]
    code = "import sys; sys.argv[0] = 'fairseq-hydra-train'; "
    code += "from fairseq_cli.hydra_train import cli_main; cli_main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "[data-dir-missing]" in done.stderr, done.stderr
