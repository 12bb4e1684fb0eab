"""Serve a model over HTTP with uvicorn, with deadlines and bounds for connections.

Behind a proxy all clients have its address, and so share one rate and half of the concurrency,
unless the proxy is trusted to name theirs (``--trusted-proxy``).
"""

import asyncio
import functools
import gc
import importlib.util
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
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
from emo_fairseq.serving.access_log import AccessLog
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.http_errors import CLOSE, HttpError, error_response
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.memory import bound_fragmentation
from emo_fairseq.serving.model_description import read_description

logger = logging.getLogger(__name__)

_CLOSING_SECONDS = 5  # for responses that are being sent, once requests are finished
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


@dataclass(frozen=True)
class ServerOptions:
    """How a model is served.

    Attributes:
        host: address to listen on; a warning is logged if other machines can reach it.
        port: 1 to 65535.
        hosts: names of this server in the network or at a proxy.
        trusted_proxies: networks of proxies that name the addresses of their clients.
        tokens: of which clients of the API need one; none: they need none.
        access_log: file of a line for each request, or ``-`` for the standard output; None: none.
        workers: processes that share the port.
        device: of the model; by default the GPU, if there is one.
        precision: of the graph of a model folder that is run; see `load_predictor`.
        provider: that runs the graph.
        face_detector: function that may be imported to find faces; see `load_predictor`.
        limits: of what clients may send, to one process.
        load_transcriber: loads what transcribes speech that comes without a text.
    """

    host: str = HOST
    port: int = PORT
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    tokens: tuple[str, ...] = field(default=(), repr=False)
    access_log: str | None = None
    workers: int = 1
    device: str | None = None
    precision: str | None = None
    provider: str | None = None
    face_detector: str | None = None
    limits: Limits = field(default_factory=Limits)
    load_transcriber: Callable[[], FasterWhisper | None] = lambda: None


class Server(uvicorn.Server):
    """uvicorn's server, which after SIGTERM or an interruption finishes what it has begun.

    Args:
        config: of :func:`server_config`.
        lifecycle: of the application.
        is_worker: whether another process passes signals on: an interruption of the terminal, which
            reaches all processes, has no effect.
    """

    def __init__(
        self, config: uvicorn.Config, lifecycle: Lifecycle, is_worker: bool = False
    ) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._is_worker = is_worker

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal ends it."""
        # The garbage collector waits with old objects until they are a quarter of all that are
        # tracked. Without those of the libraries, which stay for good, that is soon.
        gc.collect()
        gc.freeze()
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end; a second signal ends the server at once."""
        if self._is_worker and sig == signal.SIGINT:
            return
        if self._lifecycle.is_ready:
            self._lifecycle.drain()
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Return whether to exit; called ten times a second."""
        if self._lifecycle.is_over():
            self.should_exit = True
        return await super().on_tick(counter)


def run(folder: Path, options: ServerOptions) -> None:
    """Serve the page and the API of a model.

    Args:
        folder: a model folder of ``emotion-recognize export``, or a checkpoint.
        options: of the server.

    Raises:
        UsageError: the port or a limit is out of range, the port cannot be listened on, or the
            folder holds no model.
    """
    if not 1 <= options.port <= 65535:
        raise UsageError(
            f"--port {options.port}: give a number from 1 to 65535", "port-out-of-range"
        )
    check_turn_seconds(options.limits)
    with ExitStack() as stack:
        listening = bind(options.host, options.port)
        for each in listening:
            stack.callback(each.close)
        if options.workers > 1:
            from emo_fairseq.serving.workers import run_workers

            announce(folder, options)
            run_workers(folder, options, listening)
        else:
            server = load_server(folder, options)
            announce(folder, options)
            server.run(listening)


def announce(folder: Path, options: ServerOptions) -> None:
    """Print the address, and warn where other machines can reach it."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stderr.write(f"{folder}: http://{host}:{options.port}/\n")
    if warning := exposure(options.host, bool(options.tokens)):
        logger.warning(warning)


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host, none of which listens yet.

    Raises:
        UsageError: an address is not of this machine, or is in use.
    """
    bound: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            listening = socket.socket(family, kind, protocol)
            bound.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # an address of version 4 has a socket of its own
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
    except OSError as error:
        for listening in bound:
            listening.close()
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror or error}; give another one",
            "address-unusable",
        ) from None
    return bound


def load_server(folder: Path, options: ServerOptions, is_worker: bool = False) -> Server:
    """Load a model, and return its server; see :class:`Server`.

    Raises:
        UsageError: see :func:`run`.
    """
    bound_fragmentation()
    limits = options.limits
    access_log = None if options.access_log is None else AccessLog(options.access_log)
    predictor = load_predictor(
        folder,
        options.device,
        precision=options.precision,
        provider=options.provider,
        face_detector=options.face_detector,
    )
    from emo_fairseq.serving.metrics import PrometheusMeter  # after its folder is set

    app = create_app(
        predictor,
        limits,
        read_description(folder),
        [options.host, *options.hosts],
        options.load_transcriber(),
        voice_maker(limits, predictor.max_seconds()),
        tokens=options.tokens,
        trusted_proxies=options.trusted_proxies,
        access_log=access_log,
        meter=PrometheusMeter(),
    )
    config = server_config(app, options.host, options.port, limits)
    return Server(config, app.state.lifecycle, is_worker)


def check_turn_seconds(limits: Limits) -> None:
    """Raise a :class:`UsageError` if live turns are longer or shorter than can be divided."""
    if not _SHORTEST_TURN <= limits.live_turn_seconds <= LONGEST_STRETCH:
        raise UsageError(
            f"--live-turn-seconds {limits.live_turn_seconds:g}: give a number from "
            f"{_SHORTEST_TURN:g} to {LONGEST_STRETCH:g}",
            "limit-out-of-range",
        )


def voice_maker(limits: Limits, max_seconds: float) -> Callable[[], VoiceActivity] | None:
    """Return what makes the detector of speech of live conversations; None if none is installed.

    Args:
        limits: of the server.
        max_seconds: that the model reads of a turn.

    Raises:
        UsageError: turns may be longer or shorter than the detector can divide them.
    """
    check_turn_seconds(limits)
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
        timeout_graceful_shutdown=_CLOSING_SECONDS,
        ws=WebSocketsSansIOProtocol,
        ws_max_size=2 * limits.live_message_bytes,  # from one to two the client gets a sentence
        ws_per_message_deflate=False,  # samples hardly become smaller
    )


def exposure(host: str, needs_token: bool = False) -> str:
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
    lacks = "has no encryption" if needs_token else "has neither tokens nor encryption"
    return (
        f"{host}: other machines can reach this server; it {lacks}, so put a proxy in front of it "
        "(deploy/ has configurations)"
    )
