"""Live conversations: how many there are at a time, and which can be continued.

A conversation whose connection was lost is kept for a bounded time: its embeddings, its clock and
its counts, and no audio. Its name, a random number of 128 bits, is what continues it. One that was
ended is dropped at once.
"""

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from emo_fairseq.serving.clients import client_of
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.live_protocol import TRY_AGAIN, LiveError


class Connection(Protocol):
    """What sends and receives for a conversation."""

    def close(self) -> None:
        """Leave the conversation to another connection."""


@dataclass(eq=False)
class LiveSession:
    """One conversation, over one connection after another.

    Attributes:
        conversation: what predicts its turns.
        created: when it began, on the clock of its registry.
        name: with which it is continued.
        client: that counts for it.
        seconds: of the conversation so far.
        n_turns: that were found.
        n_dropped: of these, that were not predicted.
        n_too_short: stretches of speech that are no turns.
        previous_label: of the last turn.
        connection: that it has now.
    """

    conversation: Any
    created: float
    name: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    client: str = ""
    seconds: float = 0.0
    n_turns: int = 0
    n_dropped: int = 0
    n_too_short: int = 0
    previous_label: str | None = None
    connection: "Connection | None" = None


class LiveSessions:
    """Admits conversations up to a number, and keeps lost ones for a time.

    Used from the event loop alone.

    Args:
        limits: of the server.
        clock: seconds that never go back.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._open: dict[str, LiveSession] = {}
        self._lost: OrderedDict[str, tuple[float, LiveSession]] = OrderedDict()  # until when

    def __len__(self) -> int:
        return len(self._open)

    @property
    def n_lost(self) -> int:
        """Conversations without a connection that can be continued."""
        self._expire()
        return len(self._lost)

    def age(self, session: LiveSession) -> float:
        """Return the seconds since a conversation began."""
        return self._clock() - session.created

    def open(self, address: str, conversation: Any) -> LiveSession:
        """Begin a conversation.

        Raises:
            LiveError: there are as many as may be, of all clients or of this one.
        """
        client = client_of(address)
        self._check_room(client)
        session = LiveSession(conversation, self._clock(), client=client)
        self._open[session.name] = session
        return session

    def resume(self, name: str) -> LiveSession | None:
        """Continue a conversation; return None if it is not there any longer.

        A connection that it still has is closed: the network of its client may have changed, which
        the server notices late.

        Raises:
            LiveError: as :meth:`open`.
        """
        self._expire()
        if (session := self._open.get(name)) is not None:
            if session.connection is not None:
                session.connection.close()
            return session
        if name not in self._lost:
            return None
        _, session = self._lost[name]
        self._check_room(session.client)
        del self._lost[name]
        self._open[name] = session
        return session

    def leave(self, session: LiveSession, connection: Connection, keep: bool) -> None:
        """End a connection, and keep its conversation or drop it, unless another one took it."""
        if session.connection is not connection:
            return
        session.connection = None
        self._open.pop(session.name, None)
        if keep:
            until = self._clock() + self._limits.live_resume_seconds
            self._lost[session.name] = (until, session)
        self._expire()

    def _check_room(self, client: str) -> None:
        most = self._limits.live_sessions
        if len(self._open) >= most:
            raise LiveError(
                "The server has as many live conversations as it may; try again later.",
                "live-full",
                TRY_AGAIN,
            )
        of_client = Counter(session.client for session in self._open.values())[client]
        if of_client >= max(1, most // 2):
            raise LiveError(
                "You have as many live conversations at a time as one client may; stop one.",
                "live-client-full",
                TRY_AGAIN,
            )

    def _expire(self) -> None:
        now, most = self._clock(), self._limits.live_sessions
        while self._lost:
            until, _ = next(iter(self._lost.values()))
            if until > now and len(self._lost) <= most:
                return
            self._lost.popitem(last=False)
