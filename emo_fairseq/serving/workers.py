"""Threads in which the model runs, the oldest request first, and short requests together."""

import functools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[Sequence[Any], Callable[[], bool]], Sequence[Any]]


@dataclass(eq=False)
class Job:
    """One request whose body has been read.

    Attributes:
        run: from contents of jobs, and a function that returns True once the work is to end, to as
            many results.
        content: of this job.
        is_batched: whether `run` may be called with the contents of several jobs of the same `run`.
        result: what `run` returned for the content.
    """

    run: Run
    content: Any
    is_batched: bool = False
    result: "Future[Any]" = field(default_factory=Future)
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Drop a job that waits; stop one that runs at its next batch."""
        self._stop.set()
        self.result.cancel()

    def should_stop(self) -> bool:
        """Whether no client waits for the result any longer."""
        return self._stop.is_set()


class Workers:
    """Runs jobs in `n_threads` threads.

    While one batch is computed, jobs gather for the next one, so that none waits for others to
    come.

    Args:
        n_threads: batches at the same time.
        batch_size: batched jobs that are run together at most.
    """

    def __init__(self, n_threads: int, batch_size: int) -> None:
        self._batch_size = batch_size
        self._lock = threading.Lock()
        self._queue: deque[Job] = deque()
        self._running: set[Job] = set()
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="predictor")

    def submit(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        job.result.add_done_callback(functools.partial(self._discard, job))
        with self._lock:
            self._queue.append(job)
        self._pool.submit(self._run_next)

    def close(self) -> None:
        """Take no more jobs, drop those that wait, and stop the others at their next batch."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            jobs = [*self._queue, *self._running]
        for job in jobs:
            job.stop()

    def _run_next(self) -> None:
        """Run the oldest job and those that may be run with it; none, if they have been run."""
        jobs = self._take()
        if not jobs:
            return
        try:
            results = jobs[0].run([job.content for job in jobs], lambda: _all_stopped(jobs))
        except BaseException as error:
            for job in jobs:
                job.result.set_exception(error)
            raise
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result.set_result(result)

    def _take(self) -> list[Job]:
        with self._lock:
            while self._queue:
                first = self._queue.popleft()
                together = [first]
                if first.is_batched:
                    alike = [j for j in self._queue if j.is_batched and j.run == first.run]
                    together += alike[: self._batch_size - 1]
                    for job in together[1:]:
                        self._queue.remove(job)
                # One that was canceled meanwhile is not begun.
                jobs = [job for job in together if job.result.set_running_or_notify_cancel()]
                if jobs:
                    self._running.update(jobs)
                    return jobs
        return []

    def _discard(self, job: Job, _: "Future[Any]") -> None:
        with self._lock:
            self._running.discard(job)
            if job in self._queue:
                self._queue.remove(job)


def _all_stopped(jobs: Sequence[Job]) -> bool:
    return all(job.should_stop() for job in jobs)
