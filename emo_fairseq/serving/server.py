"""Serve a model over HTTP with uvicorn, with deadlines and bounds for connections.

Behind a proxy all clients have its address, and so share one rate and half of the concurrency: the
proxy has to limit each client, and the limits here have to be raised.
"""

import asyncio
import contextlib
import functools
import importlib.util
import ipaddress
import logging
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emo_fairseq.diarization.options import LONGEST_STRETCH, TurnOptions
from emo_fairseq.diarization.voice_activity import VoiceActivity
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.transcribing import FasterWhisper
from emo_fairseq.serving.api import read_description
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.http_errors import CLOSE, HttpError, error_response
from emo_fairseq.serving.limits import Limits

logger = logging.getLogger(__name__)

_SHORTEST_TURN = 1.0  # seconds that a long turn may be divided into
HOST, PORT = "127.0.0.1", 8000
_TIMEOUT, _UNAVAILABLE = 408, 503
_FULL = "The server has too many connections; try again in a moment."
_ERRORS = {  # by status: message and code
    400: ("The request is not valid HTTP.", "http-invalid"),
    _TIMEOUT: ("The headers of the request did not arrive in time.", "headers-timeout"),
    431: ("The headers of the request are too large.", "headers-too-large"),
    _UNAVAILABLE: (_FULL, "connections-full"),
}


# -- connections -----------------------------------------------------------------------------------


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


# -- the server ------------------------------------------------------------------------------------


def run(
    folder: Path,
    host: str = HOST,
    port: int = PORT,
    *,
    limits: Limits | None = None,
    hosts: Collection[str] = (),
    device: str | None = None,
    transcriber: FasterWhisper | None = None,
) -> None:
    """Serve the page and the API of a model.

    Args:
        folder: a model folder of ``emotion-recognize export``, or a checkpoint.
        host: address to listen on; a warning is logged if other machines can reach it.
        port: 1 to 65535.
        limits: of what clients may send.
        hosts: names of this server in the network or at a proxy.
        device: of the model; by default the GPU, if there is one.
        transcriber: of speech that comes without a text.

    Raises:
        UsageError: the port or a limit is out of range, or the folder holds no model.
    """
    if not 1 <= port <= 65535:
        raise UsageError(f"--port {port}: give a number from 1 to 65535", "port-out-of-range")
    predictor = load_predictor(folder, device)
    limits = limits or Limits()
    make_voice = voice_maker(limits, predictor.max_seconds())
    about = read_description(folder)
    app = create_app(predictor, limits, about, [host, *hosts], transcriber, make_voice)
    sys.stderr.write(f"{folder}: http://{f'[{host}]' if ':' in host else host}:{port}/\n")
    if warning := exposure(host):
        logger.warning(warning)
    with contextlib.suppress(KeyboardInterrupt):  # the usual end of a server
        uvicorn.Server(server_config(app, host, port, limits)).run()


def voice_maker(limits: Limits, max_seconds: float) -> Callable[[], VoiceActivity] | None:
    """Return what makes the detector of speech of live conversations; None if none is installed.

    Args:
        limits: of the server.
        max_seconds: that the model reads of a turn.

    Raises:
        UsageError: turns may be longer or shorter than the detector can divide them.
    """
    if not _SHORTEST_TURN <= limits.live_turn_seconds <= LONGEST_STRETCH:
        raise UsageError(
            f"--live-turn-seconds {limits.live_turn_seconds:g}: give a number from "
            f"{_SHORTEST_TURN:g} to {LONGEST_STRETCH:g}",
            "limit-out-of-range",
        )
    if importlib.util.find_spec("faster_whisper") is None:
        return None
    longest = max(_SHORTEST_TURN, min(limits.live_turn_seconds, max_seconds))
    return functools.partial(VoiceActivity, TurnOptions(max_seconds=longest))


def server_config(app: FastAPI, host: str, port: int, limits: Limits) -> uvicorn.Config:
    """Return the configuration of uvicorn for an application."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=bounded_protocol(limits),
        log_level="warning",
        access_log=False,  # requests hold people's words
        proxy_headers=False,  # a client must not choose the address by which its rate is limited
        server_header=False,
        timeout_graceful_shutdown=5,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=2 * limits.live_message_bytes,  # from one to two the client gets a sentence
        ws_per_message_deflate=False,  # samples hardly become smaller
    )


def exposure(host: str) -> str:
    """Return a warning if other machines can reach `host`; empty for the loopback interface.

    >>> exposure("127.0.0.1"), exposure("localhost"), exposure("::1")
    ('', '', '')
    >>> exposure("0.0.0.0")[:32]
    '0.0.0.0: other machines can reac'
    """
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if inside:
        return ""
    return (
        f"{host}: other machines can reach this server; it has neither passwords nor encryption, "
        "so put a proxy that has in front of it"
    )
