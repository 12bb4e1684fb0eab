"""HTTP connections with deadlines and bounds, in place of uvicorn's own."""

import asyncio
import sys
from typing import Any, ClassVar

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from emo_fairseq.serving.http_errors import CLOSE, HttpError, error_response
from emo_fairseq.serving.limits import Limits

_TIMEOUT, _UNAVAILABLE = 408, 503
_FULL = "The server has too many connections; try again in a moment."
_ERRORS = {  # by status: message and code
    400: ("The request is not valid HTTP.", "http-invalid"),
    _TIMEOUT: ("The headers of the request did not arrive in time.", "headers-timeout"),
    431: ("The headers of the request are too large.", "headers-too-large"),
    _UNAVAILABLE: (_FULL, "connections-full"),
}


def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """Return a class of connections with deadlines and bounds by `limits`."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"limits": limits})


class _BoundedProtocol(H11Protocol):
    """uvicorn's protocol, which itself waits for headers forever and sends errors as plain text."""

    limits: ClassVar[Limits]
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        full = len(self.connections) > self.limits.connections
        self.app = _refuse_connection if full else self.config.loaded_app
        earlier = self.cycle
        super().handle_events()
        if self.cycle is not earlier:
            self._drop_deadline()
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_headers()  # the first bytes of another request

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over; the application limits it from there."""
        self._drop_deadline()
        if len(self.connections) > self.limits.connections:
            self._refuse(_UNAVAILABLE)
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP; called while an error of h11 is handled."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint if hint in _ERRORS else 400)

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.header_seconds, self._on_deadline)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _on_deadline(self) -> None:
        self._deadline = None
        if self.conn.trailing_data[0]:
            self._refuse(_TIMEOUT)
        elif not self.transport.is_closing():
            self.transport.close()  # not a byte has come: a browser's spare connection

    def _refuse(self, status: int) -> None:
        self._drop_deadline()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            response = error_response(status, *_ERRORS[status], CLOSE)
            head = h11.Response(status_code=status, headers=response.raw_headers)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


async def _refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    error = HttpError(503, _FULL, "connections-full", retry_after=2, close=True)
    response: Any = error.response()
    await response(scope, receive, send)
