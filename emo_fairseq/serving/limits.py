"""Limits of what clients may send: sizes, lengths, times, and rates."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from emo_fairseq.errors import UsageError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """Limits of one server, all above zero; :class:`UsageError` otherwise.

    Attributes:
        upload_bytes: of a whole request body, counted while it arrives.
        audio_seconds: of one file, by its header and again while it is decoded.
        text_characters: of one text.
        requests_per_second: of one client address, in the long run.
        burst: requests that one client may send at once after a pause.
        workers: batches that are computed at the same time, of short texts or of one request.
        batch: texts of a batch.
        waiting: requests that may arrive or wait for a worker beside those; the next is refused.
            One client address may have half of all these, at least one.
        held_bytes: bodies of all requests in progress; of one client half.
        header_seconds: until the headers of a request have arrived.
        body_grace_seconds: that a body may take beyond the time by `body_bytes_per_second`.
        body_bytes_per_second: lowest rate at which a body may arrive.
        body_seconds: until a body has arrived.
        waiting_seconds: until its computation begins, once it has arrived.
        answer_seconds: until its response, once it has arrived.
        segments: windows of one timeline.
        explained_seconds: of the audio, or the segment of it, that is explained at once.
        connections: open at once, idle ones among them.
        live_sessions: live conversations at a time. One client may have half of them, at least
            one.
        live_seconds: of one live conversation.
        live_turn_seconds: of one turn, 1 to 30; a longer one is divided.
        live_idle_seconds: without a message of the client, after which a conversation ends.
        live_message_bytes: of one message.
        live_waiting_turns: of one conversation that wait for the model; the next is dropped.
        live_resume_seconds: that a conversation whose connection was lost can be continued.
        live_ahead_seconds: of audio that may arrive sooner than it can have been recorded; more is
            read later.
    """

    upload_bytes: int = 25 * MEGABYTE
    audio_seconds: float = 15 * 60.0
    text_characters: int = 5000
    requests_per_second: float = 2.0
    burst: int = 20
    workers: int = 2
    batch: int = 32
    waiting: int = 64
    held_bytes: int = 250 * MEGABYTE
    header_seconds: float = 10.0
    body_grace_seconds: float = 5.0
    body_bytes_per_second: float = 50_000.0
    body_seconds: float = 60.0
    waiting_seconds: float = 60.0
    answer_seconds: float = 180.0
    segments: int = 2000
    explained_seconds: float = 30.0
    connections: int = 256
    live_sessions: int = 4
    live_seconds: float = 60 * 60.0
    live_turn_seconds: float = 20.0
    live_idle_seconds: float = 30.0
    live_message_bytes: int = 64_000
    live_waiting_turns: int = 4
    live_resume_seconds: float = 60.0
    live_ahead_seconds: float = 5.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not 0 < value < float("inf"):
                raise UsageError(
                    f"limit {limit.name} {value}: give a number above zero", "limit-not-positive"
                )


# -- rates -----------------------------------------------------------------------------------------

_MAX_CLIENTS = 10_000  # the one whose last request is the oldest is dropped first


class TokenBuckets:
    """Limit the rate of each client by a token bucket; a request costs one token.

    Args:
        per_second: tokens that a bucket gains.
        burst: tokens that it holds at most.
        clock: seconds that never go back.
    """

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, time

    def take(self, address: str) -> float:
        """Take a token; return 0.0, or without one the seconds until the next.

        >>> buckets = TokenBuckets(per_second=0.5, burst=1, clock=lambda: 7.0)
        >>> buckets.take("127.0.0.1"), buckets.take("127.0.0.1"), buckets.take("127.0.0.2")
        (0.0, 2.0, 0.0)
        """
        client, now = client_of(address), self._clock()
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        granted = tokens >= 1
        self._buckets[client] = (tokens - granted, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._per_second


def client_address(scope: Mapping[str, Any]) -> str:
    """Return the address of the client of an ASGI connection; empty where it is unknown."""
    return str(scope["client"][0]) if scope.get("client") else ""


def client_of(address: str) -> str:
    """Return the address; of IPv6 its /64 network, since one household owns 2 ** 64 addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
