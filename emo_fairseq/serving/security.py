"""Check every request: is it meant for this server, from its own page, allowed, within its rate?

A server on the loopback interface is reached by every web page that the same person opens. Such a
page can post to it (cross-site request), or read its responses by giving its own name the address
127.0.0.1 (DNS rebinding). Both show in headers that scripts cannot forge: Origin names another
page, or Host a name that is not ours. An address as Host is safe: no name can be rebound to it.

The handshake of a WebSocket is checked likewise: browsers open one to any server for any page, and
leave it to the server to compare the Origin. Scripts cannot give it an Authorization header: there
a token is one of its subprotocols, ``bearer.`` and the token in base64url without padding.
"""

import base64
import binascii
import logging
import math
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emo_fairseq.serving.clients import TokenBuckets, client_address, is_address
from emo_fairseq.serving.http_errors import INTERNAL, HttpError, error_response
from emo_fairseq.serving.request_ids import current_request_id
from emo_fairseq.serving.tokens import Tokens

logger = logging.getLogger(__name__)

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
_PROTECTED = ("/api/", "/metrics")  # beginnings of addresses that need a token, if there are any
_BEARER = "bearer."  # begins the subprotocol that holds the token
_CHALLENGE = 'Bearer realm="emo_fairseq"'
_CHECKED = ("http", "websocket")  # types of connections, beside that of the server's life
_HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::\d{1,5})?", re.ASCII)


class SecurityMiddleware:
    """ASGI middleware that checks Host, Origin, token and rate, and adds security headers.

    An error that nothing else handles is logged and becomes a response here, within these headers.

    Args:
        app: the application.
        hosts: names of this server, beside localhost and any address.
        buckets: the rate of each client.
        tokens: of which a client needs one, if there are any.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        buckets: TokenBuckets,
        tokens: Tokens,
    ) -> None:
        self._app = app
        self._hosts = {"localhost", *(name.lower() for name in hosts)}
        self._buckets = buckets
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _CHECKED:
            await self._app(scope, receive, send)
            return

        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except HttpError as error:
            await error.response()(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            logger.exception("request %s failed", current_request_id())
            if has_begun:
                raise  # the connection is closed, so that the response does not seem whole
            await error_response(500, *INTERNAL)(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        self._check_host(headers.getlist("host"))
        is_api = path.startswith("/api/")
        if is_api:
            _check_origin(headers)
        costs = is_api and (scope["type"] == "websocket" or scope["method"] == "POST")
        if costs:
            self._take(scope)
        if self._tokens and path.startswith(_PROTECTED):
            self._check_token(scope, headers, costs)

    def _take(self, scope: Scope) -> None:
        if wait := self._buckets.take(client_address(scope)):
            message = f"Too many requests; try again in {math.ceil(wait)} s."
            raise HttpError(429, message, "rate-exceeded", retry_after=wait, close=True)

    def _check_token(self, scope: Scope, headers: Headers, is_paid: bool) -> None:
        token = _token_of(headers)
        if token is not None and self._tokens.accept(token):
            return
        if not is_paid:
            self._take(scope)  # so that tokens cannot be tried at any rate
        if token is None:
            raise HttpError(
                401,
                "This server needs a token; send it as Authorization: Bearer TOKEN.",
                "token-missing",
                headers={"WWW-Authenticate": _CHALLENGE},
                close=True,
            )
        raise HttpError(
            401,
            "The token is none of this server's.",
            "token-unknown",
            headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'},
            close=True,
        )

    def _check_host(self, hosts: list[str]) -> None:
        matched = _HOST.fullmatch(hosts[0].lower()) if len(hosts) == 1 else None
        name = matched and (matched["v6"] or matched["name"])
        if not name or (name not in self._hosts and not is_address(name)):
            message = "The Host header does not name this server; open it by its address."
            raise HttpError(421, message, "host-unknown", close=True)


def _token_of(headers: Headers) -> str | None:
    """Return the token of a request; None without one."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for part in headers.get("sec-websocket-protocol", "").split(","):
        name = part.strip()
        if name.startswith(_BEARER):
            encoded = name.removeprefix(_BEARER)
            try:
                padded = encoded + "=" * (-len(encoded) % 4)
                return base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
            except (binascii.Error, ValueError):
                return ""
    return None


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
