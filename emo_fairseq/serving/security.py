"""Check every request: is it meant for this server, from its own page, and within its rate?

A server on the loopback interface is reached by every web page that the same person opens. Such a
page can post to it (cross-site request), or read its responses by giving its own name the address
127.0.0.1 (DNS rebinding). Both show in headers that scripts cannot forge: Origin names another
page, or Host a name that is not ours. An address as Host is safe: no name can be rebound to it.

The handshake of a WebSocket is checked likewise: browsers open one to any server for any page, and
leave it to the server to compare the Origin.
"""

import ipaddress
import math
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import (
    TokenBuckets,
    client_address,
)

# Nothing but this server's own files is loaded, sent to, or may frame the page.
_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CHECKED = ("http", "websocket")  # types of connections, beside that of the server's life
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?", re.ASCII)


class SecurityMiddleware:
    """ASGI middleware that checks Host, Origin and rate, and adds security headers.

    Args:
        app: the application.
        hosts: names of this server, beside localhost and any address.
        buckets: the rate of each client.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], buckets: TokenBuckets) -> None:
        self._app = app
        self._hosts = {"localhost", *(name.lower() for name in hosts)}
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _CHECKED:
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except HttpError as error:
            await error.response()(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_host(headers.getlist("host"))
        if not scope["path"].startswith("/api/"):
            return
        _check_origin(headers)
        costs = scope["type"] == "websocket" or scope["method"] == "POST"
        if costs and (wait := self._buckets.take(client_address(scope))):
            message = f"Too many requests; try again in {math.ceil(wait)} s."
            raise HttpError(429, message, "rate-exceeded", retry_after=wait, close=True)

    def _check_host(self, hosts: list[str]) -> None:
        matched = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        name = matched and (matched["v6"] or matched["name"])
        if not name or (name not in self._hosts and not _is_address(name)):
            message = "The Host header does not name this server; open it by its address."
            raise HttpError(421, message, "host-unknown", close=True)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers) -> None:
    """Refuse requests of other pages. Command-line clients send neither header."""
    site = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin")
    ours = origin is None or _host(origin) == headers["host"].lower()
    if not ours or site not in ("same-origin", "none"):
        message = "Requests of other web pages are refused; use this server's own page."
        raise HttpError(403, message, "origin-foreign", close=True)


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # not an address at all
        return ""
