"""Addresses of clients behind proxies that are trusted to name them."""

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from emo_fairseq.serving.clients import client_address, is_address


class TrustedProxies:
    """ASGI middleware: the client and the scheme are those that a trusted proxy names.

    uvicorn reads the headers: the last address of X-Forwarded-For that is no trusted proxy. Another
    word there is not used, so that the address by which a rate is limited is one.

    Args:
        app: the application.
        networks: of the proxies; without any, the headers have no effect.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[str] = ()) -> None:
        self._app = app
        check: Any = self._check  # whose types are starlette's, which are more general
        self._forwarded: Any = ProxyHeadersMiddleware(check, list(networks)) if networks else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._forwarded is None or scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        else:
            await self._forwarded({**scope, "peer": scope.get("client")}, receive, send)

    async def _check(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.pop("peer")
        if not is_address(client_address(scope)):
            scope["client"] = peer
        await self._app(scope, receive, send)
