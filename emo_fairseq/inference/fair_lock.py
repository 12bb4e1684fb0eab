"""A lock whose waiters get it in the order in which they came."""

import threading
from collections import deque
from types import TracebackType


class FairLock:
    """As `threading.Lock`, but a thread that releases it and takes it again goes to the end.

    A `threading.Lock` is mostly won back by the thread that has just released it, so that a loop
    which takes it for each batch shuts all others out until it ends.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._is_taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._is_taken:
                self._is_taken = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()  # until __exit__ releases it for this waiter

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False
