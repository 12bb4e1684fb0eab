"""Several commands at a time, each run's one after the other, in processes that can be stopped."""

import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import torch

from data_prep.errors import ManifestError
from emo_fairseq.errors import UsageError

_POLL = 0.05  # seconds
_PATIENCE = 10.0  # seconds that a process has to end
_TAIL_LINES, _TAIL_WIDTH = 15, 300
_PROMPT = "$ "
_REFUSAL = "error: "  # how emo_fairseq.errors begins the sentence of a refusal


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        words: the first is one of fairseq's commands.
        log: the file that its output is added to.
        held: a file descriptor that the process inherits, and with it what it locks.
    """

    words: Sequence[str]
    log: Path
    held: int


class Outcome(NamedTuple):
    """How a run's commands ended.

    Attributes:
        ok: whether all went well.
        message: what was done, or why they failed.
        refusal: the sentence with which a command refused its options or its data; empty if it
            failed otherwise.
    """

    ok: bool
    message: str
    refusal: str = ""


Steps = Generator[Command, int, Outcome]  # commands out, exit codes in


class Process(Protocol):
    """What is asked of a process; see :class:`subprocess.Popen`."""

    def poll(self) -> int | None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


def start(command: Command, environment: Mapping[str, str]) -> Process:
    """Start a command; its words stand in the log before its output."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with command.log.open("a", encoding="utf-8") as log:
        log.write(f"{_PROMPT}{shlex.join(command.words)}\n")
        log.flush()
        return subprocess.Popen(
            [_executable(command.words[0]), *command.words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(command.held,),
            env={**os.environ, **environment},
        )


def _executable(name: str) -> str:
    """fairseq's command of this environment, active or not."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else name


def run_all(
    work: Mapping[str, Steps],
    n_at_once: int,
    report: Callable[[str, Outcome], None],
    keeps_going: bool = True,
) -> dict[str, Outcome]:
    """Carry out the steps of each run, `n_at_once` runs at a time; a failed one stops no other.

    Only a refusal stops the others, unless `keeps_going`, where no run has succeeded yet: they are
    mostly refused for the same reason. Runs that are at work are carried out.

    Args:
        work: steps by the name of the run.
        n_at_once: at most so many processes.
        report: called for each run that has ended.
        keeps_going: whether runs are started after a refusal, too.

    Returns:
        How each ended that was started. If this is interrupted, all processes are stopped first.
    """
    waiting, outcomes = deque(work.items()), {}
    slots = [_Slot(environment) for environment in environments(n_at_once)]
    try:
        while waiting or any(slot.steps for slot in slots):
            for slot in slots:
                if slot.steps is None and waiting:
                    slot.begin(*waiting.popleft())
                if outcome := slot.look():
                    outcomes[slot.name] = outcome
                    report(slot.name, outcome)
                    succeeded = any(done.ok for done in outcomes.values())
                    if outcome.refusal and not (succeeded or keeps_going):
                        waiting.clear()
            time.sleep(_POLL)
    finally:
        for slot in slots:
            slot.stop()
    return outcomes


@dataclass
class _Slot:
    """Where one run at a time is at work."""

    environment: Mapping[str, str]
    name: str = ""
    steps: Steps | None = None
    process: Process | None = field(default=None, repr=False)

    def begin(self, name: str, steps: Steps) -> None:
        self.name, self.steps = name, steps

    def look(self) -> Outcome | None:
        """Go on to the next step if there is none at work; an outcome after the last."""
        if self.steps is None or (self.process and self.process.poll() is None):
            return None
        try:
            command = self.steps.send(self.process.wait()) if self.process else next(self.steps)
            self.process = start(command, self.environment)
        except StopIteration as end:
            return self._end(end.value)
        except (UsageError, ManifestError, OSError) as error:
            self.steps.close()
            return self._end(Outcome(False, str(error)))
        return None

    def _end(self, outcome: Outcome) -> Outcome:
        self.steps = self.process = None
        return outcome

    def stop(self) -> None:
        """End the process, if there is one, before the lock on its folder is let go of."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.steps:
            self.steps.close()


def environments(n_at_once: int) -> list[dict[str, str]]:
    """What is set for each of the processes at work: a share of the threads, and of the GPUs.

    One process at a time has all. OMP_NUM_THREADS and CUDA_VISIBLE_DEVICES, where set, say what
    there is to be shared out.
    """
    if n_at_once <= 1:
        return [{}]
    n_threads = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
    share = {"OMP_NUM_THREADS": str(max(1, n_threads // n_at_once))}
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(n) for n in range(torch.cuda.device_count())]
    if not gpus:
        return [share] * n_at_once
    return [{**share, "CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} for n in range(n_at_once)]


def failure(command: Command, code: int) -> Outcome:
    """The outcome of a command that failed: what its log ends with."""
    lines = command.log.read_text(encoding="utf-8", errors="replace").splitlines()
    first = max((n for n, line in enumerate(lines) if line.startswith(_PROMPT)), default=-1) + 1
    tail = [line[:_TAIL_WIDTH] for line in lines[first:][-_TAIL_LINES:]]
    head = f"{command.words[0]} failed with exit code {code}; the whole log: {command.log}"
    last = next((line for line in reversed(lines[first:]) if line.strip()), "")
    refusal = last.removeprefix(_REFUSAL) if last.startswith(_REFUSAL) else ""
    return Outcome(False, "\n".join([head, *(f"  | {line}" for line in tail)]), refusal)
