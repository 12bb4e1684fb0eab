"""The tools that the command starts, run in the test's own process: the same words, no imports."""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from in_process import run_tool

from emo_fairseq.cli import processes

_TOOLS = {"fairseq-train": "fairseq_cli.train", "fairseq-validate": "fairseq_cli.validate"}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the tools printed, one after the other; they are what ``processes.run`` would start."""
    printed: list[str] = []

    def run(words: Sequence[str], discard_output: bool = False) -> int:
        processes.show(words)
        name = Path(words[0]).name
        if name in _TOOLS:
            # Few threads, few workers: what tests add to what the command writes.
            printed.append(run_tool(_TOOLS[name], name, *map(Path, words[1:]), "--num-workers 0"))
            return 0
        _, _, module, *rest = words
        if module == "emo_fairseq.report":
            with monkeypatch.context() as patch:
                patch.setattr(sys, "argv", [module, *rest])
                importlib.import_module(f"{module}.__main__").main()
            return 0
        return int(importlib.import_module(module).main(rest))

    def run_quietly(words: Sequence[str]) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(processes, "show", lambda words: None)
            return run(words)

    monkeypatch.setattr(processes, "run", run)
    monkeypatch.setattr(processes, "run_quietly", run_quietly)
    return printed


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``emotion-recognize`` with these words; returns what it wrote. It has to succeed."""
    from emo_fairseq.cli.__main__ import main

    def run(*words: object, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    return run
