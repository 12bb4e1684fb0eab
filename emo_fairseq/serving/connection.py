"""What happens to a connection before a request is one: deadlines, bounds, and refusals in JSON."""

import asyncio
import sys
from typing import Any, ClassVar

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.refusals import RefusalError, refused

_CLOSE = {"Connection": "close"}
_LATE = 408
_SENTENCES = {
    400: "The request is not valid HTTP.",
    _LATE: "The headers of the request did not arrive in time.",
    431: "The headers of the request are too large.",
}
_FULL = "The server has too many connections; try again in a moment."


def bounded_protocol(limits: Limits) -> type[H11Protocol]:
    """The class of connections that are held to `limits`."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"limits": limits})


class _BoundedProtocol(H11Protocol):
    """uvicorn's, which waits for headers without end and refuses in plain text."""

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

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; called while h11's error is handled."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint if hint in _SENTENCES else 400)

    def _await_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.conn.trailing_data[0]:
            self._refuse(_LATE)
        elif not self.transport.is_closing():
            self.transport.close()  # not a byte has come: a browser's spare connection

    def _refuse(self, status: int) -> None:
        self._drop_deadline()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self.transport.is_closing():
            response = refused(status, _SENTENCES[status], _CLOSE)
            head = h11.Response(status_code=status, headers=response.raw_headers)
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


async def _refuse_connection(scope: Scope, receive: Receive, send: Send) -> None:
    refusal: Any = RefusalError(503, _FULL, retry_after=2, hang_up=True)
    await refusal.response()(scope, receive, send)
