"""Commands of this environment, printed as they can be typed and then run."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PLUGIN = Path(__file__).resolve().parents[1]  # emo_fairseq, what --user-dir names


def tool(name: str) -> str:
    """One of fairseq's commands: that of this environment, active or not."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def module(name: str, *arguments: str | Path) -> list[str]:
    """The words of ``python -m NAME ...`` with this Python."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def show(words: Sequence[str]) -> None:
    """Print a command as a shell takes it."""
    say(f"$ {shlex.join(words)}")


def say(line: str) -> None:
    """Print a line, before what a process prints next."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(words: Sequence[str]) -> int:
    """Print a command, run it to its end on our own terminal, and return its exit code."""
    show(words)
    return subprocess.run(words, check=False).returncode
