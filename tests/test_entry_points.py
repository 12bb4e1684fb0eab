"""Commands of their own print one sentence for a mistake; importing them registers nothing."""

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


def test_the_folder_may_be_imported_by_a_link_before_fairseq_imports_it(tmp_path: Path) -> None:
    """As `make install` links it: fairseq compares the path of --user-dir with that of the link."""
    repository = Path(__file__).parents[1]
    for package in ("emo_fairseq", "data_prep"):
        (tmp_path / package).symlink_to(repository / package)
    code = f"""
import argparse, sys
sys.path[0] = {str(tmp_path)!r}
import emo_fairseq
from fairseq.utils import import_user_module
for user_dir in ({str(repository / "emo_fairseq")!r}, {str(tmp_path / "emo_fairseq")!r}):
    import_user_module(argparse.Namespace(user_dir=user_dir))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
