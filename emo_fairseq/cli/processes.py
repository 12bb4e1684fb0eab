"""Run commands of this environment, each printed first as a shell takes it."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[1]  # emo_fairseq, what --user-dir names


def tool(name: str) -> str:
    """Return the path of a fairseq command of this environment, active or not."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def module(name: str, *arguments: str | Path) -> list[str]:
    """Return the command line of ``python -m NAME ...`` with this Python."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def show(words: Sequence[str]) -> None:
    """Print a command as a shell takes it."""
    write(f"$ {shlex.join(words)}")


def write(line: str) -> None:
    """Print a line, flushed before the output of the next process."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(words: Sequence[str]) -> int:
    """Print a command, run it on this terminal, and return its exit code."""
    show(words)
    return subprocess.run(words, check=False).returncode
