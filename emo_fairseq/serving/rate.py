"""Token buckets: how often one client may ask."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

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
