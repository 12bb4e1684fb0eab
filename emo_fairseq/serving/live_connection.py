"""One connection of a live conversation.

One task reads the samples and detects turns; another predicts them, one at a time. If the model is
slower than the speakers, turns wait up to a number, and the next one is dropped and reported.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from data_prep.messages import sentence
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.inference.conversation import turn_document
from emo_fairseq.inference.live import LiveConversation
from emo_fairseq.inference.stopping import StoppedError
from emo_fairseq.serving.clients import client_address
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.live_protocol import (
    NORMAL,
    RESTART,
    STOPPED,
    STOPPING,
    TIME_LIMIT,
    UNSUPPORTED,
    LiveError,
    Message,
    Skip,
    Start,
    Stop,
    parse_message,
)
from emo_fairseq.serving.live_sessions import LiveSession
from emo_fairseq.serving.live_turns import SpeechTurn, TurnDetector

if TYPE_CHECKING:
    from emo_fairseq.serving.live import Live


logger = logging.getLogger(__name__)

_STATUS_SECONDS = 1.0  # of audio between two messages of the state
_IDLE = "live-idle"
_LEFT = (1000, 1001)  # close codes of a client that leaves; others are those of a lost connection
_LOST = 1006
_INTERNAL = "The model failed on this turn; the reason is in the log of the server."


class _Waiting(NamedTuple):
    """A turn that waits to be predicted, with its number and the time at which it was found."""

    number: int
    turn: SpeechTurn
    found_at: float


class LiveConnection:
    """One connection of a conversation.

    Args:
        live: all conversations of the server.
        socket: of the connection, accepted.
    """

    def __init__(self, live: "Live", socket: WebSocket) -> None:
        self._live = live
        self._limits = live.limits
        self._socket = socket
        self._clock = asyncio.get_running_loop().time
        self._waiting: asyncio.Queue[_Waiting | None] = asyncio.Queue()
        self._idle = asyncio.timeout(None)  # while messages are awaited
        self._left = threading.Event()  # no client waits for predictions any longer
        self._was_taken = False
        self._is_stopping = False
        self._is_receiving = False

    def close(self) -> None:
        """Leave the conversation to another connection of the client."""
        self._was_taken = True
        self._interrupt()

    def stop(self) -> None:
        """End the conversation as if its client had stopped it, since the server stops."""
        self._is_stopping = True
        self._interrupt()

    def _interrupt(self) -> None:
        if self._is_receiving:  # else samples that are being read would be lost
            self._idle.reschedule(self._clock())

    async def run(self) -> None:
        """Hold the connection until it ends."""
        try:
            session, resumed = await self._begin()
        except LiveError as error:
            await self._refuse(error)
            return
        keeps = False
        try:
            await self._hold(session, resumed)
        except LiveError as error:
            keeps = error.code == _IDLE
            await self._refuse(error)
        except WebSocketDisconnect as end:
            keeps = end.code not in _LEFT
        finally:
            self._left.set()
            self._live.sessions.leave(session, self, keeps)

    # -- the conversation --

    async def _begin(self) -> tuple[LiveSession, bool]:
        """Return the conversation that the first message begins, or the one that it continues."""
        live = self._live
        try:
            async with asyncio.timeout(self._limits.header_seconds):
                start = await self._receive()
        except TimeoutError:
            raise LiveError("The first message did not come in time.", "start-timeout") from None
        try:
            live.lifecycle.check_open()
        except HttpError as error:
            raise LiveError(error.message, error.code, RESTART) from None
        if not isinstance(start, Start):
            raise LiveError('The first message is not of the type "start".', "start-missing")
        if live.support.missing:
            raise LiveError(live.support.missing, "live-unavailable", UNSUPPORTED)
        resumed = None if start.session is None else live.sessions.resume(start.session)
        session = resumed or live.sessions.open(
            client_address(self._socket.scope), LiveConversation(live.predictor)
        )
        session.connection = self
        session.seconds = max(session.seconds, min(start.position, self._limits.live_seconds))
        return session, resumed is not None

    async def _hold(self, session: LiveSession, resumed: bool) -> None:
        warnings = list(self._live.support.warnings)
        names = {"session": session.name, "resumed": resumed, "warnings": warnings}
        await self._send("ready", **names, **_state(session))
        detector = self._live.detector(session)
        predicting = asyncio.create_task(self._predict_turns(session))
        try:
            try:
                reason = await self._listen(session, detector)
            except (LiveError, WebSocketDisconnect):
                _count_cut_off(session, detector)
                raise
            await self._add(session, detector, await self._live.detect(detector.finish))
            self._waiting.put_nowait(None)
            await predicting
            await self._send("end", reason=reason, **_state(session))
            await self._socket.close(RESTART if reason == STOPPING else NORMAL)
        finally:
            predicting.cancel()
            await asyncio.gather(predicting, return_exceptions=True)

    async def _listen(self, session: LiveSession, detector: TurnDetector) -> str:
        """Read messages until the end of the conversation; return its reason.

        Raises:
            LiveError: a message is invalid, none comes, or another connection has taken over.
            WebSocketDisconnect: the connection was closed.
        """
        began, offset = self._clock(), session.seconds
        reported, was_speaking = offset, False
        try:
            async with self._idle:
                while not (self._was_taken or self._is_stopping):
                    self._idle.reschedule(self._clock() + self._limits.live_idle_seconds)
                    self._is_receiving = True
                    message = await self._receive()
                    self._is_receiving = False
                    match message:
                        case Stop():
                            return STOPPED
                        case Start():
                            raise LiveError("The conversation has begun already.", "start-repeated")
                        case Skip(seconds):
                            turns = await self._live.detect(detector.skip, seconds)
                            began -= seconds  # they were recorded, and are not ahead
                        case samples:
                            turns = await self._live.detect(detector.feed, samples)
                    await self._add(session, detector, turns)
                    if session.seconds - reported >= _STATUS_SECONDS or (
                        detector.is_speaking != was_speaking
                    ):
                        reported, was_speaking = session.seconds, detector.is_speaking
                        await self._send_status(session, was_speaking)
                    age = max(session.seconds, self._live.sessions.age(session))
                    if age >= self._limits.live_seconds:
                        return TIME_LIMIT
                    # What arrives sooner than it can have been recorded is read at that speed.
                    ahead = session.seconds - offset - (self._clock() - began)
                    await asyncio.sleep(max(0.0, ahead - self._limits.live_ahead_seconds))
        except TimeoutError:
            if not (self._was_taken or self._is_stopping):
                seconds = self._limits.live_idle_seconds
                raise LiveError(f"Nothing came for {seconds:g} seconds.", _IDLE) from None
        if not self._was_taken:
            return STOPPING
        raise LiveError("The conversation is continued by another connection.", "live-taken")

    async def _add(
        self, session: LiveSession, detector: TurnDetector, turns: Sequence[SpeechTurn]
    ) -> None:
        """Let turns wait for their prediction; drop those for which there is no room."""
        session.seconds, session.n_too_short = detector.seconds, detector.n_too_short
        for turn in turns:
            session.n_turns += 1
            number = session.n_turns
            if self._waiting.qsize() < self._limits.live_waiting_turns:
                self._waiting.put_nowait(_Waiting(number, turn, self._clock()))
                continue
            session.n_dropped += 1
            await self._send("dropped", number=number, start=turn.start, end=turn.end)

    async def _predict_turns(self, session: LiveSession) -> None:
        """Predict the turns that wait, one at a time, until None comes."""
        while (waiting := await self._waiting.get()) is not None:
            outputs = await self._live.predict(self._predict, session, waiting.turn)
            if outputs is None:
                return
            delay = self._clock() - waiting.found_at
            await self._send("turn", number=waiting.number, **outputs, delay=delay)

    def _predict(self, session: LiveSession, turn: SpeechTurn) -> dict[str, Any] | None:
        """Predict a turn; None if nobody waits for it."""
        prediction, problem = None, None
        try:
            prediction = session.conversation.add_turn(
                turn.samples,
                sample_rate=SAMPLE_RATE,
                transcribe=self._live.transcribe(self._left.is_set),
                should_stop=self._left.is_set,
            )
        except StoppedError:
            return None
        except Exception as error:
            mistake = find_mistake(error)
            if mistake is None:
                logger.exception("a live turn failed")
            problem = _INTERNAL if mistake is None else sentence(mistake)
        outputs = turn_document(turn.start, turn.end, prediction, None, session.previous_label)
        if prediction is not None and prediction.label is not None:
            session.previous_label = prediction.label
        return {**outputs, "error": problem}

    # -- messages --

    async def _receive(self) -> Message:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code") or _LOST)
        return parse_message(message, self._limits.live_message_bytes)

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._socket.send_json({"type": kind, **fields})

    async def _send_status(self, session: LiveSession, is_speaking: bool) -> None:
        waiting = self._waiting.qsize()
        await self._send("status", speaking=is_speaking, waiting=waiting, **_state(session))

    async def _refuse(self, error: LiveError) -> None:
        """Send an error and close the connection, unless it is closed already."""
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._send("error", error=error.message, code=error.code)
            await self._socket.close(error.close_code)


def _count_cut_off(session: LiveSession, detector: TurnDetector) -> None:
    """Count the speech that a lost connection cuts off, so that its client can name it.

    Milliseconds, and so in the event loop: a task that is canceled cannot wait for a thread.
    """
    session.n_turns += len(detector.finish())
    session.n_too_short = detector.n_too_short


def _state(session: LiveSession) -> dict[str, Any]:
    return {
        "seconds": round(session.seconds, 3),
        "turns": session.n_turns,
        "dropped": session.n_dropped,
        "too_short": session.n_too_short,
    }
