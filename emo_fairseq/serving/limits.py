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
    """All are above zero; :class:`UsageError` otherwise.

    Attributes:
        upload_bytes: of a whole request body, counted while it arrives.
        audio_seconds: of one file, by its header and again while it is decoded.
        text_characters: of one text.
        requests_per_second: of one client address, in the long run.
        burst: requests that one client may send at once after a rest.
        workers: batches that are computed at the same time: short texts together, all else alone.
        batch: texts of a batch.
        waiting: requests that may arrive or wait for a worker beside those; the next is refused.
            One client address is given half of all these places, or one.
        held_bytes: bodies of all requests that are on their way; of one client half.
        header_seconds: until the headers of a request have arrived.
        body_grace_seconds: that a body may take beside the time by `body_bytes_per_second`.
        body_bytes_per_second: that arrive of a body at least.
        body_seconds: until a request has arrived.
        waiting_seconds: until the work on it has begun, once it has arrived.
        answer_seconds: until it is answered, once it has arrived.
        segments: windows of one timeline.
        explained_seconds: of the audio, or the part of it, that one explanation is about.
        connections: that are open at once, idle ones among them.
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

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not 0 < value < float("inf"):
                raise UsageError(f"limit {limit.name} {value}: give a number above zero")


# -- Token buckets: how often one client may ask ---------------------------------------------------

_CLIENTS = 10_000  # remembered; the one that asked longest ago is forgotten first


class TokenBuckets:
    """One bucket a client: it holds `burst` tokens, and gains `per_second`; a request costs one."""

    def __init__(
        self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, address: str) -> float:
        """Take a token: 0.0 if there was one, else the seconds until there will be.

        >>> buckets = TokenBuckets(per_second=0.5, burst=1, clock=lambda: 7.0)
        >>> buckets.take("127.0.0.1"), buckets.take("127.0.0.1"), buckets.take("127.0.0.2")
        (0.0, 2.0, 0.0)
        """
        client, now = client_of(address), self._clock()
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._per_second)
        granted = tokens >= 1
        self._buckets[client] = (tokens - granted, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - tokens) / self._per_second


def client_address(scope: Mapping[str, Any]) -> str:
    """Where an ASGI connection comes from; empty where that is not known."""
    return str(scope["client"][0]) if scope.get("client") else ""


def client_of(address: str) -> str:
    """The address; of IPv6 its network, since one household owns 2 ** 64 addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
