"""Give each request an id, count it, time it, and write it into the access log."""

import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emo_fairseq.serving.access_log import AccessLog
from emo_fairseq.serving.clients import client_address
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.meter import Meter
from emo_fairseq.serving.request_ids import HEADER, begin_request

_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_STARTS = ("http.response.start", "websocket.http.response.start", "websocket.accept")
_BODIES = ("http.response.body", "websocket.http.response.body")
_SWITCHED = 101  # protocols: the status of a WebSocket that was accepted
_FAILED = 500


class RequestMiddleware:
    """ASGI middleware around everything else that handles requests.

    Args:
        app: the application.
        lifecycle: counts the requests in progress.
        meter: of the metrics.
        access_log: None without one.
    """

    def __init__(
        self,
        app: ASGIApp,
        lifecycle: Lifecycle,
        meter: Meter,
        access_log: AccessLog | None = None,
    ) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._meter = meter
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = begin_request(Headers(scope=scope).get(HEADER))
        start = time.monotonic()
        status, sizes = _FAILED, {"request_bytes": 0, "response_bytes": 0}

        async def receive_and_count() -> Message:
            message = await receive()
            sizes["request_bytes"] += len(message.get("body") or message.get("bytes") or b"")
            return message

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] in _STARTS:
                status = message.get("status", _SWITCHED)
                message.setdefault("headers", [])
                headers = MutableHeaders(scope=message)
                headers[HEADER] = request_id
                if message["type"] == "http.response.start" and not self._lifecycle.is_ready:
                    headers["Connection"] = "close"  # the next request needs another server
            elif message["type"] in _BODIES:
                sizes["response_bytes"] += len(message.get("body", b""))
            await send(message)

        self._lifecycle.n_running += 1
        self._meter.request_began()
        try:
            await self._app(scope, receive_and_count, send_with_id)
        finally:
            self._lifecycle.n_running -= 1
            seconds = time.monotonic() - start
            method = scope.get("method", "WEBSOCKET")
            route = _route(scope)
            known = method if method in _METHODS or scope["type"] == "websocket" else "OTHER"
            self._meter.request_ended(known, route, status, seconds)
            if self._access_log is not None:
                self._access_log.write(
                    request_id=request_id,
                    client=client_address(scope),
                    method=method,
                    path=scope["path"],  # without the query
                    status=status,
                    seconds=round(seconds, 4),
                    **sizes,
                    user_agent=Headers(scope=scope).get("user-agent", ""),
                )


def _route(scope: Scope) -> str:
    """Return the address as it is declared: a client could make up any number of others."""
    if scope["path"].startswith("/static/"):
        return "/static"
    return str(getattr(scope.get("route"), "path", ""))
