"""Clients: their addresses, and the rate at which each may send requests."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

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


def is_address(text: str) -> bool:
    """Return whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def client_of(address: str) -> str:
    """Return the address; of IPv6 its /64 network, since one household owns 2 ** 64 addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
