"""A sweep whose commands run in the test's own process, one after the other.

A process that forks for each command spends most of its time on what is done first in a process.
"""

import contextlib
import importlib
import io
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from forked_sweep import TOOLS
from in_process import run_to_end

from emo_fairseq.experiments import jobs


def run_here(module: str, words: Sequence[str]) -> tuple[int, str]:
    """Run ``main`` of a module of experiments; returns its exit code, and what it prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(jobs, "start", _Ended)
        code = importlib.import_module(f"emo_fairseq.experiments.{module}").main(list(words))
    return int(code), printed.getvalue()


class _Ended:
    """What :func:`emo_fairseq.experiments.jobs.start` returns, of a command that has ended."""

    def __init__(self, command: jobs.Command, environment: Mapping[str, str]) -> None:
        name, *rest = command.words
        command.log.parent.mkdir(parents=True, exist_ok=True)
        self._code, printed, errors = run_to_end(TOOLS[name], name, rest)
        with command.log.open("a") as log:
            log.write(f"$ {shlex.join(command.words)}\n{printed}{errors}")

    def poll(self) -> int:
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        return self._code

    def terminate(self) -> Any:
        raise AssertionError("it has ended")

    kill = terminate
