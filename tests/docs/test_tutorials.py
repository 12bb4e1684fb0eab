"""The first commands of the first tutorial, run one after another on a smaller toy corpus."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "tutorials" / "first_result.md"
# Words that are added to a command, so that it does less.
LESS = {"python -m data_prep.toy": "--n-train 48 --n-valid 16 --n-test 24 --speakers 4 2 3"}
SECONDS = 240


def marked_commands() -> list[str]:
    """The command lines of the blocks that are marked by ``<!-- run -->``."""
    return [
        shlex.join(words)
        for block in blocks(PAGE)
        if block.mark == "run"
        for words in block.commands
    ]


@pytest.fixture
def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.timeout(2 * SECONDS)
def test_first_result(tmp_path: Path, environment: dict[str, str]) -> None:
    commands = marked_commands()
    assert len(commands) == 2
    printed = ""
    for command in commands:
        less = next((words for start, words in LESS.items() if command.startswith(start)), "")
        done = subprocess.run(
            f"{command} {less}",
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    assert "UAR" in printed
    (report,) = tmp_path.rglob("report.html")
    assert report.name in printed
    assert "emotion-recognize predict" in printed.partition("next:")[2]
