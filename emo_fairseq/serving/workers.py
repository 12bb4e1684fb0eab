"""Several server processes on one port: begun again when they die, and ended together."""

import logging
import multiprocessing
import os
import signal
import socket
import tempfile
import threading
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType

from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.serving.server import ServerOptions, load_server

logger = logging.getLogger(__name__)

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is imported
_TICK = 0.2  # seconds
_SPARE_SECONDS = 10.0  # beyond the time that a worker has to finish, before it is killed
_SPAWN = multiprocessing.get_context("spawn")  # a fork would copy the threads of libraries halfway


def run_workers(folder: Path, options: ServerOptions, listening: list[socket.socket]) -> None:
    """Serve in several processes until SIGTERM or an interruption.

    Raises:
        UsageError: a process ended before it could serve; it has printed why.
    """
    with tempfile.TemporaryDirectory(prefix="emo_fairseq_metrics_") as metrics:
        os.environ.setdefault(_FOLDER, metrics)
        try:
            _Workers(folder, options, listening).run()
        finally:
            if os.environ[_FOLDER] == metrics:
                del os.environ[_FOLDER]


class _Workers:
    def __init__(
        self, folder: Path, options: ServerOptions, listening: list[socket.socket]
    ) -> None:
        self._arguments = (folder, options, listening)
        self._seconds = options.limits.drain_delay_seconds + options.limits.drain_seconds
        self._n = options.workers
        self._processes: dict[BaseProcess, Event] = {}
        self._stop = threading.Event()

    def run(self) -> None:
        handlers = {x: signal.signal(x, self._on_signal) for x in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(self._n):
                self._start()
            while not self._stop.wait(_TICK):
                self._replace_dead()
        finally:
            self._end()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _start(self) -> None:
        has_loaded = _SPAWN.Event()
        process = _SPAWN.Process(target=_serve, args=(*self._arguments, has_loaded))
        process.start()
        self._processes[process] = has_loaded

    def _replace_dead(self) -> None:
        for process, has_loaded in list(self._processes.items()):
            if process.is_alive():
                continue
            del self._processes[process]
            _forget_metrics(process)
            if not has_loaded.is_set():
                raise UsageError(
                    f"a worker ended with exit code {process.exitcode} before it could serve; see "
                    "above",
                    "worker-failed",
                )
            logger.error("worker %s ended (%s); another begins", process.pid, process.exitcode)
            self._start()

    def _end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join(self._seconds + _SPARE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def _forget_metrics(process: BaseProcess) -> None:
    """Drop what a process that has ended counted of its requests in progress."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(process.pid)


def _end_with_parent() -> None:
    """Stop this process when the first one is gone, such as by SIGKILL."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _serve(
    folder: Path, options: ServerOptions, listening: list[socket.socket], has_loaded: Event
) -> None:
    """Run one process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    excepthook.apply()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the first process sends SIGTERM
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        server = load_server(folder, options, is_worker=True)
    except UsageError as error:
        logger.error("%s", error)
        raise SystemExit(1) from None
    has_loaded.set()
    server.run(listening)
