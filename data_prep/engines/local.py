"""Pools of this machine: the process itself, threads, or processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Any

from data_prep.engines.engine import Engine, default_workers
from data_prep.engines.pool import Answer, Build, Outcome, Pool, Setup, Ticket, WorkerFunction


def open_local(build: Build, engine: Engine, *, threads: bool) -> Pool:
    """Return threads if the function releases the lock of the interpreter, else processes.

    One worker is the process itself.
    """
    size = engine.workers or default_workers()
    if size == 1:
        return SerialPool(build)
    return ThreadPool(build, size) if threads else ProcessPool(Setup(build), size)


class SerialPool:
    """The process itself, which computes a unit when it is waited for."""

    size = 1

    def __init__(self, build: Build) -> None:
        self._function = build()
        self._waiting: list[tuple[Ticket, Any]] = []

    @property
    def is_free(self) -> bool:
        return not self._waiting

    def submit(self, ticket: Ticket, unit: Any) -> None:
        self._waiting.append((ticket, unit))

    def wait(self) -> Sequence[Outcome]:
        ticket, unit = self._waiting.pop()
        return [Outcome(ticket, Answer(self._function(unit)))]

    def close(self) -> None:
        self._waiting.clear()


class ThreadPool:
    """Threads of this process."""

    def __init__(self, build: Build, size: int) -> None:
        self.size = size
        self._function = build()
        self._pool = ThreadPoolExecutor(size)
        self._running: dict[Future[Any], Ticket] = {}

    @property
    def is_free(self) -> bool:
        return len(self._running) < self.size

    def submit(self, ticket: Ticket, unit: Any) -> None:
        self._running[self._pool.submit(self._function, unit)] = ticket

    def wait(self) -> Sequence[Outcome]:
        done, _ = wait(self._running, return_when=FIRST_COMPLETED)
        return [Outcome(self._running.pop(future), _answer_of(future)) for future in done]

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def _answer_of(future: Future[Any]) -> Answer:
    error = future.exception()
    if error is None:
        return Answer(future.result())
    if isinstance(error, Exception):
        return Answer(error=error)
    raise error


# -- Processes -------------------------------------------------------------------------------------


@dataclass
class _Worker:
    process: BaseProcess
    pipe: connection.Connection
    ticket: Ticket | None = None


class ProcessPool:
    """Processes, each at the other end of a pipe, so that it is known which unit one died of.

    They are not forked, since a forked child of a process with OpenMP threads may deadlock.
    """

    def __init__(self, setup: Setup, size: int) -> None:
        self.size = size
        self._setup = setup
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        self._workers: list[_Worker] = []
        self._n_threads = max(1, (os.cpu_count() or 1) // size)

    @property
    def is_free(self) -> bool:
        return len(self._workers) < self.size or any(w.ticket is None for w in self._workers)

    def submit(self, ticket: Ticket, unit: Any) -> None:
        free = [worker for worker in self._workers if worker.ticket is None]
        worker = free[0] if free else self._start()
        worker.ticket = ticket
        with suppress(BrokenPipeError):  # it has died, which `wait` finds out
            worker.pipe.send(unit)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]  # of every real context
            target=_serve, args=(self._setup, theirs, self._n_threads), daemon=True
        )
        process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours))
        return self._workers[-1]

    def wait(self) -> Sequence[Outcome]:
        busy = [worker for worker in self._workers if worker.ticket is not None]
        ends = [end for worker in busy for end in (worker.pipe, worker.process.sentinel)]
        ready = connection.wait(ends)
        return [
            self._take(worker)
            for worker in busy
            if worker.pipe in ready or worker.process.sentinel in ready
        ]

    def _take(self, worker: _Worker) -> Outcome:
        ticket, worker.ticket = worker.ticket, None
        if ticket is None:
            raise AssertionError("the worker has no unit")
        with suppress(EOFError, OSError):
            if worker.pipe.poll():
                return Outcome(ticket, worker.pipe.recv())
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.join()
        return Outcome(ticket, None, _describe_exit(worker.process.exitcode))

    def close(self) -> None:
        for worker in self._workers:
            worker.pipe.close()  # on which a free one ends
            if worker.ticket is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()


def _describe_exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with status {code}"


def _serve(setup: Setup, pipe: connection.Connection, n_threads: int) -> None:
    """Compute units until the pipe is closed, or the parent has died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))  # as Ray does
    function = WorkerFunction(setup)
    while True:
        try:
            pipe.send(function(pipe.recv()))
        except (EOFError, OSError):
            return


def _end_with_parent() -> None:
    """Exit when the parent is killed, instead of computing on."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
