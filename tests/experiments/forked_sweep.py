"""`python -m emo_fairseq.experiments.sweep` (or score) in a process that forks its commands.

Importing torch and fairseq takes seconds, forking does not. What a fork does is what the command in
``bin/`` does: the tool's ``cli_main`` under its ``sys.argv``.
"""

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from forked import SERVER

TOOLS = {
    "fairseq-hydra-train": "fairseq_cli.hydra_train",
    "fairseq-validate": "fairseq_cli.validate",
}
PATIENCE = 240.0  # seconds


class ForkedSweep:
    """The module's `main` in a process group of its own, whose output goes to `log`.

    If `pause_in` is given, a training whose log lies in a folder of that name waits for ever after
    its first update has been saved.
    """

    def __init__(self, module: str, words: list[str], log: Path, pause_in: str = "") -> None:
        self._log = log
        self._process = SERVER.Process(target=_work, args=(module, words, str(log), pause_in))
        self._process.start()

    @property
    def output(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def wait(self) -> int:
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self.kill()
            raise TimeoutError(self.output[-3000:])
        return int(self._process.exitcode or 0)

    def wait_until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert self._process.is_alive(), self.output[-3000:]
            assert time.monotonic() < deadline, self.output[-3000:]
            time.sleep(0.01)

    def kill(self) -> None:
        """As a machine that goes down does: the sweep and what it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.join()


def _work(module: str, words: list[str], log: str, pause_in: str) -> None:
    import torch

    from emo_fairseq.experiments import jobs

    os.setpgid(0, 0)
    torch.set_num_threads(1)
    _send_output_to(log)
    jobs.start = lambda command, environment: _Fork(command, environment, pause_in)
    code: Any = 1
    try:
        code = importlib.import_module(f"emo_fairseq.experiments.{module}").main(words)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.exit(code)


def _send_output_to(file: str | Path) -> None:
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(opened, descriptor)


class _Fork:
    """What :func:`emo_fairseq.experiments.jobs.start` gives."""

    def __init__(self, command: Any, environment: Mapping[str, str], pause_in: str) -> None:
        sys.stdout.flush()
        self._code: int | None = None
        self._pid = os.fork()
        if self._pid == 0:
            os.environ.update(environment)
            _run(command, bool(pause_in) and command.log.parent.name == pause_in)

    def poll(self) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.01)
        return code

    def terminate(self) -> None:
        os.kill(self._pid, signal.SIGTERM)

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


def _run(command: Any, pauses: bool) -> NoReturn:
    code = 1
    try:
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("a") as log:
            log.write(f"$ {' '.join(command.words)}\n")
        _send_output_to(command.log)
        sys.argv = list(command.words)
        if pauses:
            _pause_after_first_save()
        importlib.import_module(TOOLS[command.words[0]]).cli_main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as the interpreter does
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _pause_after_first_save() -> None:
    from fairseq import checkpoint_utils

    save = checkpoint_utils.save_checkpoint

    def save_and_wait(*args: Any, **kwargs: Any) -> None:
        save(*args, **kwargs)
        time.sleep(10 * PATIENCE)

    checkpoint_utils.save_checkpoint = save_and_wait
