"""fairseq's commands in processes of their own, forked from one server that has fairseq loaded.

Importing torch and fairseq takes seconds, forking does not. What a process does is what the
command in ``bin/`` does: the tool's ``cli_main`` under its ``sys.argv``, and ``sys.excepthook`` for
what it does not catch.
"""

import importlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forked import SERVER

TOOLS = {
    "train": "fairseq_cli.train",
    "validate": "fairseq_cli.validate",
    "hydra-train": "fairseq_cli.hydra_train",
}

TIMEOUT = 240  # seconds


@dataclass(frozen=True)
class Finished:
    """What a command left behind. `code` is its exit status, -9 if it was killed."""

    code: int
    log: str  # standard output
    errors: str  # standard error

    def figures(self, tag: str) -> dict[str, float]:
        """The last line of statistics under this tag (``train``, or the name of a subset)."""
        return self.all_figures(tag)[-1]

    def all_figures(self, tag: str) -> list[dict[str, float]]:
        """Every line of statistics under this tag, as numbers by name."""
        lines = re.findall(rf"\| INFO \| {tag} \| (.*)$", self.log, re.MULTILINE)
        return [_numbers(line) for line in lines]


def assert_one_sentence(finished: Finished, *fragments: object) -> None:
    """One line of error, the last on standard error, in which all fragments are."""
    assert finished.code != 0
    assert "Traceback" not in finished.errors
    sentences = [line for line in finished.errors.splitlines() if line.startswith("error: ")]
    assert len(sentences) == 1, finished.errors[-2000:]
    assert finished.errors.endswith(sentences[0] + "\n")
    for fragment in fragments:
        assert str(fragment) in sentences[0]


def _numbers(line: str) -> dict[str, float]:
    """Read ``... | loss 2.01 | uar 0.25``, or ``..., loss=2.01, uar=0.25``."""
    pairs = re.findall(r"(?:^|[ |,])([a-z][\w@+]*)[ =]([^\s=,|]+)(?=,| \||$)", line)
    numbers = {}
    for name, value in pairs:
        try:
            numbers[name] = float(value)
        except ValueError:
            continue
    return numbers


class Running:
    """A command at work in `folder`."""

    def __init__(self, tool: str, words: Sequence[str], folder: Path, name: str) -> None:
        self._out, self._err = (folder / f"{name}.{end}" for end in ("out", "err"))
        arguments = (tool, list(words), str(folder), str(self._out), str(self._err))
        self._process = SERVER.Process(target=_work, args=arguments)
        self._process.start()

    @property
    def log(self) -> str:
        """Its standard output so far."""
        return self._out.read_text() if self._out.exists() else ""

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self._process.kill()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def wait(self) -> Finished:
        self._process.join(TIMEOUT)
        if self._process.is_alive():
            self._process.kill()
            raise TimeoutError(f"still running after {TIMEOUT} s:\n{self.log[-2000:]}")
        return Finished(self._process.exitcode, self.log, self._err.read_text())


def _work(tool: str, words: list[str], folder: str, out: str, err: str) -> None:
    import torch

    os.chdir(folder)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    torch.set_num_threads(1)
    sys.argv = [f"fairseq-{tool}", *words]
    code: Any = 0
    try:
        importlib.import_module(TOOLS[tool]).cli_main()
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
