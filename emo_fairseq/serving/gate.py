"""How many requests are on their way at once, and where the model runs: never on the event loop."""

import asyncio
import functools
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.rate import client_of
from emo_fairseq.serving.refusals import RefusalError

_Answer = TypeVar("_Answer")
_BUSY = "The server is busy with other requests; try again in a moment."
_OWN = "Too many of your requests are still on their way; try again in a moment."


class Gate:
    """Lets `workers + waiting` requests in; the next is refused at once rather than piled up.

    A place is taken before the body has arrived, so of one client (an address, or a network of
    IPv6) at most half of them are: else one that sends slowly would shut all others out.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = limits.workers + limits.waiting
        self._share = max(1, self._places // 2)
        self._taken: Counter[str] = Counter()  # by client; none at zero
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="recogniser")

    async def answer(
        self, address: str, read: Callable[[], Awaitable[bytes]], work: Callable[[bytes], _Answer]
    ) -> _Answer:
        """Read a body, do the work in a thread, return what it returns or raise what it raises.

        A thread cannot be stopped: work that takes too long is given up, but keeps its place
        until it ends, so that given-up work cannot pile up either.

        Raises:
            RefusalError: no place is free, or none for this address; or the work takes longer than
                the limit.
        """
        client = client_of(address)
        self._enter(client)
        try:
            body = await read()
            working = self._pool.submit(work, body)
        except BaseException:
            self._leave(client)
            raise
        working.add_done_callback(functools.partial(self._leave, client))
        answer = asyncio.wrap_future(working)
        answer.add_done_callback(_looked_at)
        seconds = self._limits.answer_seconds
        done, _ = await asyncio.wait({answer}, timeout=seconds)
        if not done:
            working.cancel()
            sentence = f"This took longer than {seconds:g} seconds and was given up; send less."
            raise RefusalError(503, sentence, retry_after=seconds)
        return answer.result()

    def close(self) -> None:
        """Take no more work, and drop what waits."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enter(self, client: str) -> None:
        with self._lock:
            if self._taken[client] >= self._share:
                raise RefusalError(429, _OWN, retry_after=2, hang_up=True)
            if self._taken.total() >= self._places:
                raise RefusalError(503, _BUSY, retry_after=2, hang_up=True)
            self._taken[client] += 1

    def _leave(self, client: str, _: "Future[_Answer] | None" = None) -> None:
        with self._lock:
            self._taken[client] -= 1
            if not self._taken[client]:
                del self._taken[client]


def _looked_at(answer: "asyncio.Future[_Answer]") -> None:
    """Spare asyncio's complaint of an exception that came after the work was given up."""
    if not answer.cancelled():
        answer.exception()
