"""Commands of their own print one sentence for a mistake; importing them registers nothing."""

import subprocess
import sys

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
