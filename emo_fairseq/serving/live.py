"""``/api/live``: speech from a microphone over a WebSocket, the emotion of each turn back.

Messages are described in :mod:`emo_fairseq.serving.live_protocol`, and sent and received by
:mod:`emo_fairseq.serving.live_connection`. Nothing is written anywhere: the samples of a turn are
in memory until it is predicted, those of silence until they are known to be.
"""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.websockets import WebSocket, WebSocketDisconnect

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.diarization.voice_activity import VoiceActivity
from emo_fairseq.inference.conversation import axes_of
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop
from emo_fairseq.inference.transcribing import FasterWhisper, Transcribe
from emo_fairseq.modalities import SPEECH, TEXT
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.live_connection import LiveConnection
from emo_fairseq.serving.live_protocol import SUBPROTOCOL
from emo_fairseq.serving.live_sessions import LiveSession, LiveSessions
from emo_fairseq.serving.live_turns import TurnDetector
from emo_fairseq.serving.meter import Meter

_UNREAD_WORDS = (
    "turns are predicted from their sound alone, since the server does not transcribe their words"
)

T = TypeVar("T")


@dataclass(frozen=True)
class LiveSupport:
    """Whether a server has live conversations.

    Attributes:
        missing: a sentence about what is missing; empty if nothing is.
        warnings: about predictions.
    """

    missing: str = ""
    warnings: tuple[str, ...] = ()


def live_support(
    predictor: EmotionPredictor, transcribes: bool, detects_speech: bool
) -> LiveSupport:
    """Return whether a model can predict turns as they are spoken."""
    if not detects_speech:
        return LiveSupport(
            'The server cannot detect speech: install faster-whisper (pip install -e ".[asr]").'
        )
    reads_speech = SPEECH in predictor.modalities and SPEECH not in predictor.missing
    reads = TEXT in predictor.modalities and TEXT not in predictor.missing
    if not reads_speech and not (reads and transcribes):
        return LiveSupport(
            "The model reads no speech; start the server with --transcribe to read what is said."
        )
    return LiveSupport("", (_UNREAD_WORDS,) if reads and not transcribes else ())


class Live:
    """Live conversations of one predictor.

    Detection runs in one thread for all conversations and prediction in another, so that neither
    waits for the queue of requests. (The model itself is shared, a batch at a time.)

    Args:
        predictor: of the turns.
        limits: of the server.
        make_voice: makes a detector of speech; None if that is not installed.
        transcriber: of the turns, if they are transcribed.
        lifecycle: of the server, whose end ends the conversations.
        meter: counts them.
    """

    def __init__(
        self,
        predictor: EmotionPredictor,
        limits: Limits,
        make_voice: Callable[[], VoiceActivity] | None,
        transcriber: FasterWhisper | None = None,
        lifecycle: Lifecycle | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.predictor = predictor
        self.limits = limits
        self.support = live_support(predictor, transcriber is not None, make_voice is not None)
        self._make_voice = make_voice
        self._transcriber = transcriber
        self.sessions = LiveSessions(limits)
        self.lifecycle = lifecycle or Lifecycle(limits)
        self.lifecycle.on_close(self._stop)
        self._meter = meter or Meter()
        self._connections: set[LiveConnection] = set()
        self._detecting = ThreadPoolExecutor(1, thread_name_prefix="live-speech")
        self._predicting = ThreadPoolExecutor(1, thread_name_prefix="live-turns")

    def describe(self) -> dict[str, Any]:
        """Return the part of ``GET /api/model`` about live conversations."""
        return {
            "missing": self.support.missing or None,
            "warnings": list(self.support.warnings),
            "axes": list(axes_of(self.predictor)),
            "sample_rate": SAMPLE_RATE,
            "seconds": self.limits.live_seconds,
            "message_bytes": self.limits.live_message_bytes,
            "resume_seconds": self.limits.live_resume_seconds,
        }

    def detector(self, session: LiveSession) -> TurnDetector:
        """Return what finds the next turns of a conversation."""
        assert self._make_voice is not None  # else it is reported as missing
        return TurnDetector(self._make_voice, session.seconds, session.n_too_short)

    async def serve(self, socket: WebSocket) -> None:
        """Hold one connection until it ends."""
        offered = socket.scope.get("subprotocols", [])
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        connection = LiveConnection(self, socket)
        self._connections.add(connection)
        self._meter.live_changed(1)
        try:
            with suppress(WebSocketDisconnect):
                await connection.run()
        finally:
            self._connections.discard(connection)
            self._meter.live_changed(-1)

    def _stop(self) -> None:
        for connection in self._connections:
            connection.stop()

    def transcribe(self, should_stop: ShouldStop) -> Transcribe | None:
        """Return what transcribes turns; None without."""
        if self._transcriber is None:
            return None
        return functools.partial(self._transcriber, should_stop=should_stop)

    async def detect(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run the detection of speech in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._detecting, function, *arguments)

    async def predict(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a prediction in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._predicting, function, *arguments)

    def close(self) -> None:
        """Take no more work."""
        for pool in (self._detecting, self._predicting):
            pool.shutdown(wait=False, cancel_futures=True)
