"""Limit how many requests are processed at once, and run the model in threads, in batches."""

import asyncio
import functools
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from emo_fairseq.serving.clients import client_of
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.meter import Meter

# -- threads ---------------------------------------------------------------------------------------

Run = Callable[[Sequence[Any], Callable[[], bool]], Sequence[Any]]


@dataclass(eq=False)
class Job:
    """One request whose body has been read.

    Attributes:
        run: maps the contents of jobs, and a function that returns True once the computation
            should stop, to as many results.
        content: of this job; None once there is a result.
        batch_key: jobs with equal ones and the same `run` may be run together; None: alone.
        result: what `run` returned for the content.
    """

    run: Run
    content: Any
    batch_key: Hashable | None = None
    result: "Future[Any]" = field(default_factory=Future)
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Cancel a waiting job; stop a running one at its next batch."""
        self._stop.set()
        self.result.cancel()

    def should_stop(self) -> bool:
        """Return whether no client waits for the result any longer."""
        return self._stop.is_set()


class Workers:
    """Threads that run the model, the oldest job first, and jobs with the same key in batches.

    While one batch is computed, jobs gather for the next one. A batch that has room may wait for
    more, for a bounded time.

    Args:
        n_threads: batches that are computed at the same time.
        batch_size: most jobs that are run together.
        wait_seconds: that a batch with room waits, counted from its oldest job.
        meter: of the queue and the batches.
    """

    def __init__(
        self,
        n_threads: int,
        batch_size: int,
        wait_seconds: float = 0.0,
        meter: Meter | None = None,
    ) -> None:
        self._batch_size = batch_size
        self._wait_seconds = wait_seconds
        self._meter = meter or Meter()
        self._changed = threading.Condition()
        self._queue: deque[tuple[Job, float]] = deque()  # with the times at which they came
        self._running: set[Job] = set()
        self._is_closed = False
        self._pool = ThreadPoolExecutor(n_threads, thread_name_prefix="predictor")

    def submit(self, job: Job) -> None:
        """Append a job to the queue."""
        job.result.add_done_callback(functools.partial(self._discard, job))
        with self._changed:
            self._queue.append((job, time.monotonic()))
            self._meter.queue_changed(1)
            self._changed.notify_all()
        self._pool.submit(self._run_next)

    def close(self) -> None:
        """Take no more jobs, cancel those that wait, and stop the others at their next batch."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._changed:
            self._is_closed = True
            jobs = [job for job, _ in self._queue] + list(self._running)
            self._changed.notify_all()
        for job in jobs:
            job.stop()

    def _run_next(self) -> None:
        """Run the oldest job with those that are batched with it, unless they have been run."""
        jobs = self._take()
        if not jobs:
            return
        self._meter.batch_began(len(jobs))
        try:
            results = jobs[0].run(
                [job.content for job in jobs], lambda: all(job.should_stop() for job in jobs)
            )
        except BaseException as error:
            for job in jobs:
                job.result.set_exception(error)
            raise
        else:
            for job, result in zip(jobs, results, strict=True):
                job.result.set_result(result)

    def _take(self) -> list[Job]:
        with self._changed:
            while self._queue:
                first, since = self._queue[0]
                taken = self._take_alike(first, [])
                if first.batch_key is not None:
                    until = since + self._wait_seconds
                    while len(taken) < self._batch_size and not self._is_closed:
                        seconds = until - time.monotonic()
                        if seconds <= 0 or not self._changed.wait(seconds):
                            break
                        taken = self._take_alike(first, taken)
                # Jobs that were canceled meanwhile are not begun.
                jobs = [job for job in taken if job.result.set_running_or_notify_cancel()]
                if jobs:
                    self._running.update(jobs)
                    return jobs
        return []

    def _take_alike(self, first: Job, taken: list[Job]) -> list[Job]:
        """Move jobs that can be run with the first one, itself among them, out of the queue."""
        rest: deque[tuple[Job, float]] = deque()
        taken = list(taken)
        for job, since in self._queue:
            is_alike = job is first or (
                first.batch_key is not None
                and job.batch_key == first.batch_key
                and job.run == first.run
            )
            if is_alike and len(taken) < self._batch_size:
                taken.append(job)
            else:
                rest.append((job, since))
        self._meter.queue_changed(len(rest) - len(self._queue))
        self._queue = rest
        return taken

    def _discard(self, job: Job, _: "Future[Any]") -> None:
        # A job and its result refer to each other: what it holds, such as a recording, would stay
        # until the garbage collector runs.
        job.content = None
        with self._changed:
            self._running.discard(job)
            rest = deque(waiting for waiting in self._queue if waiting[0] is not job)
            self._meter.queue_changed(len(rest) - len(self._queue))
            self._queue = rest


# -- admission -------------------------------------------------------------------------------------

_BUSY = "The server is busy with other requests; try again in a moment."
_CLIENT_BUSY = "Too many of your requests are still in progress; try again in a moment."
_RETRY = 2.0  # seconds until there may be room


class ConcurrencyLimiter:
    """Admits requests up to a number and a size; refuses the next instead of queueing it.

    A request counts before its body has arrived, so one client (an address, or a network of IPv6)
    gets at most half of the capacity: else one that sends slowly would shut all others out.
    """

    def __init__(self, limits: Limits, meter: Meter | None = None) -> None:
        self._limits = limits
        self._capacity = limits.threads + limits.waiting
        self._requests: Counter[str] = Counter()  # by client; none at zero
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._workers = Workers(limits.threads, limits.batch, limits.batch_wait_seconds, meter)

    async def run(
        self,
        address: str,
        n_bytes: int,
        read: Callable[[], Awaitable[Job]],
        disconnected: Callable[[], Awaitable[None]],
    ) -> Any:
        """Read a request, run its job, return its result or raise its error.

        The job ends at its next batch when the client disconnects or the time is up. It counts
        until then, so that stopped jobs cannot accumulate either.

        Args:
            address: of the client.
            n_bytes: that the body may have.
            read: returns the request's job.
            disconnected: returns when the client has disconnected; called once all is read.

        Raises:
            HttpError: there is no capacity, or none for this client; the client has disconnected;
                or the job does not begin, or takes longer, than the limits.
        """
        client = client_of(address)
        self._admit(client, n_bytes)
        try:
            job = await read()
        except BaseException:
            self._release(client, n_bytes)
            raise
        job.result.add_done_callback(functools.partial(self._release, client, n_bytes))
        self._workers.submit(job)
        watch = asyncio.ensure_future(disconnected())
        try:
            return await self._wait(job, watch)
        finally:
            watch.cancel()
            job.stop()

    def close(self) -> None:
        """Take no more jobs, drop those that wait, and stop those that run."""
        self._workers.close()

    async def _wait(self, job: Job, watch: "asyncio.Future[None]") -> Any:
        limits = self._limits
        result = asyncio.wrap_future(job.result)
        result.add_done_callback(_retrieve_exception)
        first = functools.partial(asyncio.wait, return_when=asyncio.FIRST_COMPLETED)
        seconds = min(limits.waiting_seconds, limits.answer_seconds)
        done, _ = await first({result, watch}, timeout=seconds)
        if not done and not job.result.running() and job.result.cancel():
            message = f"The server is busy: this waited {seconds:g} seconds; try again later."
            raise HttpError(503, message, "waiting-timeout", retry_after=seconds)
        if not done:
            done, _ = await first({result, watch}, timeout=limits.answer_seconds - seconds)
        if result in done:
            return result.result()
        if watch in done:
            message = "The client closed the connection."
            raise HttpError(400, message, "client-disconnected", close=True)
        seconds = limits.answer_seconds
        message = f"The computation took longer than {seconds:g} seconds; send less."
        raise HttpError(503, message, "computation-timeout", retry_after=seconds)

    def _admit(self, client: str, n_bytes: int) -> None:
        with self._lock:
            requests, sizes, limit = self._requests, self._bytes, self._limits.held_bytes
            share = max(1, self._capacity // 2)
            # A single request is admitted whatever its size, which has a limit of its own.
            too_large = requests[client] and sizes[client] + n_bytes > limit / 2
            if requests[client] >= share or too_large:
                raise HttpError(429, _CLIENT_BUSY, "client-busy", retry_after=_RETRY, close=True)
            too_large = requests.total() and sizes.total() + n_bytes > limit
            if requests.total() >= self._capacity or too_large:
                raise HttpError(503, _BUSY, "server-busy", retry_after=_RETRY, close=True)
            requests[client] += 1
            sizes[client] += n_bytes

    def _release(self, client: str, n_bytes: int, _: "Future[Any] | None" = None) -> None:
        with self._lock:
            self._requests[client] -= 1
            self._bytes[client] -= n_bytes
            if not self._requests[client]:
                del self._requests[client], self._bytes[client]


def _retrieve_exception(result: "asyncio.Future[Any]") -> None:
    """Retrieve the exception of a stopped job, which asyncio else logs as never retrieved."""
    if not result.cancelled():
        result.exception()
