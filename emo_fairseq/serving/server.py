"""The server of a model: uvicorn, with the application of a predictor, and its options.

Behind a proxy all clients have its address, and so share one rate and half of the concurrency,
unless the proxy is trusted to name theirs (``--trusted-proxy``).
"""

import ctypes
import functools
import gc
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from emo_fairseq.diarization.options import LONGEST_STRETCH, TurnOptions
from emo_fairseq.diarization.voice_activity import VoiceActivity
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.transcribing import FasterWhisper
from emo_fairseq.serving.access_log import AccessLog
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.connections import bounded_protocol
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.model_description import read_description

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # parameters of mallopt() in glibc's malloc.h
_ARENAS = 2
_MAPPED_BYTES = 1 << 20  # arrays from this size on are given back as soon as they are freed
_SETTINGS = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_")
_CLOSING_SECONDS = 5  # for responses that are being sent, once requests are finished
_SHORTEST_TURN = 1.0  # seconds that a long turn may be divided into
HOST, PORT = "127.0.0.1", 8000


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


def bound_fragmentation() -> bool:
    """Let glibc keep two arenas, and map large arrays by themselves; return whether it does.

    By default each thread gets an arena of its own, and the size from which on arrays are mapped
    grows with the largest one that was freed: recordings, frames and activations of many lengths
    then leave holes in each of the arenas. Other allocators, and settings in the environment, stay
    as they are.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _MAPPED_BYTES}
    return all(mallopt(parameter, value) == 1 for parameter, value in settings.items())
