"""Several runs at a time, the commands of each one after the other, in processes of their own."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from data_prep.errors import CodedError
from data_prep.messages import sentence_with_code
from emo_fairseq.cli.fairseq_tool import started
from emo_fairseq.cli.processes import tool

_POLL = 0.05  # seconds
_TERMINATION_TIMEOUT = 10.0  # seconds
_ERROR_LINES, _ERROR_WIDTH = 15, 300
_PROMPT = "$ "
_REFUSAL = "error: "  # how commands print a UsageError or a ManifestError
# Where the error at the end of a log begins: a refusal, or the end of a traceback.
_ERROR = re.compile(rf"{_REFUSAL}|[\w.]+(Error|Exception|Interrupt)\b")


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: the first is one of fairseq's commands.
        log: the file that its output is added to.
        lock: a file descriptor that the process inherits, and with it the lock on that file.
    """

    words: Sequence[str]
    log: Path
    lock: int


class Outcome(NamedTuple):
    """How a run's commands ended.

    Attributes:
        ok: whether all succeeded.
        message: what was done, or why they failed.
        refusal: the sentence with which a command refused its options or its data; empty if it
            failed otherwise.
    """

    ok: bool
    message: str
    refusal: str = ""


class Errors:
    """The errors of runs, each of which is shown once.

    Args:
        n_runs: how many runs there are.
    """

    def __init__(self, n_runs: int) -> None:
        self._n_runs = n_runs
        self._names: dict[str, list[str]] = {}  # of the runs, by what they failed with

    def show(self, name: str, outcome: Outcome) -> str:
        """Return the message of a run; the first run with an error stands for those of others."""
        head, _, error = outcome.message.partition("\n")
        if outcome.ok or not error:
            return outcome.message
        names = self._names.setdefault(error.replace(name, ""), [])
        names.append(name)
        return outcome.message if len(names) == 1 else f"{head}\n  | the error of {names[0]}"

    def counts(self) -> list[str]:
        """Return a sentence for each error that several runs failed with."""
        return [
            f"{len(names)} of {self._n_runs} runs failed with the error of {names[0]}"
            for names in self._names.values()
            if len(names) > 1
        ]


Steps = Generator[Command, int, Outcome]  # yields commands, is sent their exit codes


def start(command: Command, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command; its words are written to the log before its output."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("a", encoding="utf-8") as log:
        log.write(f"{_PROMPT}{shlex.join(command.words)}\n")
        log.flush()
        return subprocess.Popen(
            started([tool(command.words[0]), *command.words[1:]]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(command.lock,),
            env={**os.environ, **environment},
        )


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Interrupt on SIGTERM as on Ctrl-C, so that the processes of runs end, too."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_all(
    work: Mapping[str, Steps],
    n_at_once: int,
    report: Callable[[str, Outcome], None],
    keep_going: bool = True,
    watch: Callable[[], None] = lambda: None,
) -> dict[str, Outcome]:
    """Run the steps of each run, `n_at_once` runs at a time; a failed run stops no other.

    Only a refusal stops the others, unless `keep_going`, where no run has succeeded yet: they are
    mostly refused for the same reason. Runs that have been started are finished.

    Args:
        work: steps by the name of the run.
        n_at_once: the most processes at a time.
        report: called for each run that has ended.
        keep_going: whether runs are started after a refusal, too.
        watch: called again and again while processes run; what it raises stops them all.

    Returns:
        The outcome of each run that was started. If this is interrupted, all processes are stopped
        first.
    """
    waiting, outcomes = deque(work.items()), {}
    workers = [_Worker(environment) for environment in environments(n_at_once)]
    try:
        while waiting or any(worker.is_busy for worker in workers):
            for worker in workers:
                if not worker.is_busy and waiting:
                    worker.begin(*waiting.popleft())
                if outcome := worker.advance():
                    outcomes[worker.name] = outcome
                    report(worker.name, outcome)
                    succeeded = any(done.ok for done in outcomes.values())
                    if outcome.refusal and not (succeeded or keep_going):
                        waiting.clear()
            watch()
            time.sleep(_POLL)
    finally:
        with ExitStack() as stack:  # all of them, even if an interruption ends one of the stops
            for worker in workers:
                stack.callback(worker.stop)
    return outcomes


@dataclass
class _Worker:
    """Runs the steps of one run at a time."""

    environment: Mapping[str, str]
    name: str = ""
    steps: Steps | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def is_busy(self) -> bool:
        return self.steps is not None

    def begin(self, name: str, steps: Steps) -> None:
        self.name, self.steps = name, steps

    def advance(self) -> Outcome | None:
        """Start the next command once the current one has ended; an outcome after the last."""
        if self.steps is None or (self.process and self.process.poll() is None):
            return None
        try:
            command = self.steps.send(self.process.wait()) if self.process else next(self.steps)
            self.process = start(command, self.environment)
        except StopIteration as end:
            return self._end(end.value)
        except (CodedError, OSError) as error:
            self.steps.close()
            return self._end(Outcome(False, sentence_with_code(error)))
        return None

    def _end(self, outcome: Outcome) -> Outcome:
        self.steps = self.process = None
        return outcome

    def stop(self) -> None:
        """End the process, if there is one, before its folder is unlocked.

        It is killed if it does not end in time, or if the wait is interrupted in its turn.
        """
        try:
            if self.process and self.process.poll() is None:
                self.process.terminate()
                self.process.wait(_TERMINATION_TIMEOUT)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
            if self.steps:
                self.steps.close()


def environments(n_at_once: int) -> list[dict[str, str]]:
    """Return the environment variables of each process: its share of the threads and GPUs.

    A single process has all of them. OMP_NUM_THREADS and CUDA_VISIBLE_DEVICES, where set, limit
    what is shared.
    """
    if n_at_once <= 1:
        return [{}]
    n_threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    share = {"OMP_NUM_THREADS": str(max(1, n_threads // n_at_once))}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = visible.split(",") if visible else [str(n) for n in range(torch.cuda.device_count())]
    if not gpus:
        return [share] * n_at_once
    return [{**share, "CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} for n in range(n_at_once)]


def failure(command: Command, code: int) -> Outcome:
    """Return the outcome of a command that failed, with the error at the end of its log."""
    lines = command.log.read_text(encoding="utf-8", errors="replace").splitlines()
    first = max((n for n, line in enumerate(lines) if line.startswith(_PROMPT)), default=-1) + 1
    written = [line for line in lines[first:] if line.strip()]
    starts = [n for n, line in enumerate(written) if _ERROR.match(line)]
    error = written[starts[-1] :] if starts else written[-1:]
    if len(error) > _ERROR_LINES:  # or an error was logged long before the end
        error = [*error[: _ERROR_LINES - 1], error[-1]]
    shown = [f"  | {line[:_ERROR_WIDTH]}" for line in error]
    head = f"{command.words[0]} failed with exit code {code}; the whole log: {command.log}"
    text = "\n".join(error)
    refusal = text.removeprefix(_REFUSAL) if text.startswith(_REFUSAL) else ""
    return Outcome(False, "\n".join([head, *shown]), refusal)
