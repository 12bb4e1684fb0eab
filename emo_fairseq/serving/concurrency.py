"""Limit how many requests are processed at once, and run the model in threads, texts in batches."""

import asyncio
import functools
import threading
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from emo_fairseq.serving.http_errors import RefusalError
from emo_fairseq.serving.limits import Limits, client_of

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


# -- How many requests are on their way at once, and how long each may wait and run ----------------

_BUSY = "The server is busy with other requests; try again in a moment."
_OWN = "Too many of your requests are still on their way; try again in a moment."
_RETRY = 2.0  # seconds until a place may be free


class Gate:
    """Lets requests in up to a number and a size; the next is refused rather than piled up.

    A place is taken before the body has arrived, so one client (an address, or a network of IPv6)
    gets at most half of them: else one that sends slowly would shut all others out.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = limits.workers + limits.waiting
        self._requests: Counter[str] = Counter()  # by client; none at zero
        self._bytes: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._workers = Workers(limits.workers, limits.batch)

    async def answer(
        self,
        address: str,
        n_bytes: int,
        read: Callable[[], Awaitable[Job]],
        left: Callable[[], Awaitable[None]],
    ) -> Any:
        """Read a request, run its job, return what that returns or raise what it raises.

        The work ends at its next batch when the client leaves or the time is up. Its place is
        taken until then, so that given-up work cannot pile up either.

        Args:
            address: of the client.
            n_bytes: that the body may have.
            read: returns the request's job.
            left: returns when the client has closed the connection; called once all is read.

        Raises:
            RefusalError: no place is free, or none for this address; the client has left; or the
                work does not begin, or takes longer, than the limits.
        """
        client = client_of(address)
        self._enter(client, n_bytes)
        try:
            job = await read()
        except BaseException:
            self._leave(client, n_bytes)
            raise
        job.result.add_done_callback(functools.partial(self._leave, client, n_bytes))
        self._workers.submit(job)
        watch = asyncio.ensure_future(left())
        try:
            return await self._wait(job, watch)
        finally:
            watch.cancel()
            job.stop()

    def close(self) -> None:
        """Take no more work, drop what waits, and end what runs."""
        self._workers.close()

    async def _wait(self, job: Job, watch: "asyncio.Future[None]") -> Any:
        limits = self._limits
        answer = asyncio.wrap_future(job.result)
        answer.add_done_callback(_looked_at)
        first = functools.partial(asyncio.wait, return_when=asyncio.FIRST_COMPLETED)
        seconds = min(limits.waiting_seconds, limits.answer_seconds)
        done, _ = await first({answer, watch}, timeout=seconds)
        if not done and not job.result.running() and job.result.cancel():
            sentence = f"The server is busy: this waited {seconds:g} seconds; try again later."
            raise RefusalError(503, sentence, retry_after=seconds)
        if not done:
            done, _ = await first({answer, watch}, timeout=limits.answer_seconds - seconds)
        if answer in done:
            return answer.result()
        if watch in done:
            raise RefusalError(400, "The client closed the connection.", hang_up=True)
        seconds = limits.answer_seconds
        sentence = f"This took longer than {seconds:g} seconds and was given up; send less."
        raise RefusalError(503, sentence, retry_after=seconds)

    def _enter(self, client: str, n_bytes: int) -> None:
        with self._lock:
            requests, sizes, held = self._requests, self._bytes, self._limits.held_bytes
            share = max(1, self._places // 2)
            # A single request is let in whatever its size, which has a limit of its own.
            too_large = requests[client] and sizes[client] + n_bytes > held / 2
            if requests[client] >= share or too_large:
                raise RefusalError(429, _OWN, retry_after=_RETRY, hang_up=True)
            too_large = requests.total() and sizes.total() + n_bytes > held
            if requests.total() >= self._places or too_large:
                raise RefusalError(503, _BUSY, retry_after=_RETRY, hang_up=True)
            requests[client] += 1
            sizes[client] += n_bytes

    def _leave(self, client: str, n_bytes: int, _: "Future[Any] | None" = None) -> None:
        with self._lock:
            self._requests[client] -= 1
            self._bytes[client] -= n_bytes
            if not self._requests[client]:
                del self._requests[client], self._bytes[client]


def _looked_at(answer: "asyncio.Future[Any]") -> None:
    """Spare asyncio's complaint of an exception that came after the work was given up."""
    if not answer.cancelled():
        answer.exception()
