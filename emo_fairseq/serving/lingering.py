"""Read the rest of a request that was refused before its connection is closed.

Once a connection is closed, the system answers what still arrives with a reset, at which the client
may discard a response that it has not read yet: it would see no reason.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = 2.0  # in all
_IDLE_SECONDS = 0.5  # without a byte
_BYTES = 5_000_000


class LingeringClose:
    """ASGI middleware around everything that refuses requests.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not _sends_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        is_read, closes = False, False

        async def receive_and_note() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = message["type"] != "http.request" or not message.get("more_body")
            return message

        async def send_and_linger(message: Message) -> None:
            nonlocal closes
            if message["type"] == "http.response.start":
                headers = Headers(raw=message.get("headers", []))
                closes = headers.get("connection", "").lower() == "close"
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if not (is_last and closes and not is_read):
                await send(message)
                return
            await send({**message, "more_body": True})
            await discard()
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def discard() -> None:
            n_bytes = 0
            try:
                async with asyncio.timeout(_SECONDS):
                    while not is_read and n_bytes < _BYTES:
                        message = await asyncio.wait_for(receive_and_note(), _IDLE_SECONDS)
                        n_bytes += len(message.get("body", b""))
            except TimeoutError:
                pass

        await self._app(scope, receive_and_note, send_and_linger)


def _sends_body(headers: Headers) -> bool:
    """Return whether a client sends its body without waiting for 100 Continue."""
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    return has_body and "expect" not in headers
