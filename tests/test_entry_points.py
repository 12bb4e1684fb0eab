"""Commands of their own print one sentence for a mistake; importing them registers nothing."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import importlib, sys
from emo_fairseq.errors import UsageError
commands = {
    "report.__main__": ["nothere.tsv"],
    "experiments.collect": ["nothere"],
    "experiments.score": ["nothere", "--data", "x"],
    "experiments.search": ["--config-dir", "nothere", "--config-name", "x", "study", "a=1,2"],
    "experiments.sweep": ["--config-dir", "nothere", "--config-name", "x", "runs", "common.seed=1"],
    "vad_to_emotion.__main__": ["apply", "--data", "x", "--forest", "nothere", "--predictions", "y",
                                "--output", "z"],
}
original = sys.excepthook
for name, words in commands.items():
    sys.excepthook = original
    sys.argv = [name, *words]
    try:
        importlib.import_module(f"emo_fairseq.{name}").main()
    except ValueError as error:
        assert error.code, name
        try:
            sys.excepthook(type(error), error, None)
        except SystemExit as ending:
            assert ending.code in (1, 2), name
    else:
        raise AssertionError(name)
"""


def test_a_mistake_is_one_line_with_its_code() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 6
    assert all(line.startswith("error: ") and line.endswith("]") for line in lines), lines


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
