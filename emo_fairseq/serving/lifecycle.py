"""The end of a server: it finishes the requests that it has begun, within a bounded time."""

import time
from collections.abc import Callable

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits

_MESSAGE = "The server is stopping; try again in a moment."
_RETRY = 5.0  # seconds
_QUIET_SECONDS = (
    0.2  # without a request before the end: one that was sent may not have been read yet
)


class Lifecycle:
    """Counts the requests in progress, and ends the server once a signal to stop has come.

    From then on the server is not ready. New requests are taken for `drain_delay_seconds`, in which
    a load balancer notices that, and refused after it. The end is when no request has been in
    progress for a moment, or after `drain_seconds` more. Used from the event loop alone, but for
    :meth:`drain`, which a handler of signals may call.

    Args:
        limits: of the server.
        clock: seconds that never go back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._drained_at: float | None = None
        self._is_closed = False
        self._idle_since: float | None = None
        self._on_close: list[Callable[[], None]] = []
        self.n_running = 0

    @property
    def is_ready(self) -> bool:
        """Whether a load balancer should send requests."""
        return self._drained_at is None

    def on_close(self, function: Callable[[], None]) -> None:
        """Call a function once new requests are refused."""
        self._on_close.append(function)

    def drain(self) -> None:
        """Begin the end."""
        if self._drained_at is None:
            self._drained_at = self._clock()

    def check_open(self) -> None:
        """Raise an :class:`HttpError` if new requests are refused."""
        if self._is_closed:
            raise HttpError(503, _MESSAGE, "server-stopping", retry_after=_RETRY, close=True)

    def is_over(self) -> bool:
        """Return whether the server may end; to be called again and again."""
        if self._drained_at is None:
            return False
        seconds = self._clock() - self._drained_at - self._limits.drain_delay_seconds
        if seconds < 0:
            return False
        if not self._is_closed:
            self._is_closed = True
            for function in self._on_close:
                function()
        now = self._clock()
        if self.n_running:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        is_quiet = self._idle_since is not None and now - self._idle_since >= _QUIET_SECONDS
        return is_quiet or seconds >= self._limits.drain_seconds
