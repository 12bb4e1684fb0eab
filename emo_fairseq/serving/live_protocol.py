"""Messages of a live conversation: what a client may send, and what it gets.

The client sends text messages, each a JSON object, and binary messages of audio: 16 bits a sample,
little-endian, one channel, 16,000 samples a second.

    {"type": "start", "session": null, "position": 0}    first; `session` of "ready" to continue
    (binary)                                             the next samples
    {"type": "skip", "seconds": 1.5}                     samples that were recorded and not sent
    {"type": "stop"}                                     the end: the last turns follow

The server sends JSON objects:

    {"type": "ready", "session", "resumed", "warnings", STATE}
    {"type": "turn", "number", "start", "end", "label", ..., "delay"}
    {"type": "dropped", "number", "start", "end"}        a turn that was not predicted
    {"type": "status", "speaking", "waiting", STATE}
    {"type": "end", "reason": "stopped", "time-limit" or "server-stopping", STATE}
    {"type": "error", "error": sentence, "code": code}   and the connection is closed

STATE is "seconds" of the conversation so far, and how many "turns" were found (those that a lost
connection cut off are among them, and never arrive), how many of them were "dropped", and how many
stretches of speech were "too_short" to be turns. A "turn" is one of
:meth:`emo_fairseq.inference.conversation.Conversation.to_document`; its "delay" are the seconds
from its detection to its prediction.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.audio.decoding import FloatArray

SAMPLE_BYTES = 2
_TEXT_CHARACTERS = 1000
_FULL_SCALE = 32768
_LONGEST = 1e6  # seconds

# Close codes of RFC 6455, and of the IANA registry.
NORMAL, UNSUPPORTED, REFUSED, TOO_BIG, RESTART, TRY_AGAIN = 1000, 1003, 1008, 1009, 1012, 1013

# Of the two subprotocols that a client with a token offers, the one that the server selects.
SUBPROTOCOL = "emo-fairseq.live"
STOPPED, TIME_LIMIT, STOPPING = "stopped", "time-limit", "server-stopping"  # reasons of an end


class LiveError(Exception):
    """Ends a live conversation; the client gets the message and the code, and then the close code.

    Args:
        message: for the person at the page.
        code: short and stable, in kebab case, for programs.
        close_code: of the connection.
    """

    def __init__(self, message: str, code: str, close_code: int = REFUSED) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.close_code = close_code


@dataclass(frozen=True)
class Start:
    """The first message.

    Attributes:
        session: that is continued; None for a new one.
        position: seconds that the client has recorded so far.
    """

    session: str | None = None
    position: float = 0.0


@dataclass(frozen=True)
class Skip:
    """Seconds of audio that the client has not sent."""

    seconds: float


@dataclass(frozen=True)
class Stop:
    """The end of the conversation."""


Message = Start | Skip | Stop | FloatArray


def parse_message(message: Mapping[str, Any], most_bytes: int) -> Message:
    r"""Parse a received message of ASGI.

    Raises:
        LiveError: it is none of those that clients send.

    >>> parse_message({"text": '{"type": "skip", "seconds": 2}'}, 64_000)
    Skip(seconds=2.0)
    >>> parse_message({"bytes": b"\x00\x40\x00\x80"}, 64_000)
    array([ 0.5, -1. ], dtype=float32)
    """
    content = message.get("bytes")
    if content is not None:
        return _parse_audio(content, most_bytes)
    text = message.get("text") or ""
    if len(text) > _TEXT_CHARACTERS:
        raise LiveError(
            f"A text message has more than {_TEXT_CHARACTERS} characters.",
            "message-too-large",
            TOO_BIG,
        )
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise LiveError("A text message is not a JSON object.", "message-invalid", UNSUPPORTED)
    match fields.get("type"):
        case "start":
            return Start(_session(fields.get("session")), _seconds(fields, "position", 0.0))
        case "skip":
            return Skip(_seconds(fields, "seconds"))
        case "stop":
            return Stop()
    raise LiveError(
        'The type of a message is none of "start", "skip" and "stop".',
        "message-invalid",
        UNSUPPORTED,
    )


def _parse_audio(content: bytes, most_bytes: int) -> FloatArray:
    if len(content) > most_bytes:
        raise LiveError(
            f"A message has {len(content)} bytes of audio; the limit is {most_bytes}.",
            "message-too-large",
            TOO_BIG,
        )
    if not content or len(content) % SAMPLE_BYTES:
        raise LiveError(
            f"A message has {len(content)} bytes of audio, which are no samples of 16 bits.",
            "audio-invalid",
            UNSUPPORTED,
        )
    return np.frombuffer(content, "<i2").astype(np.float32) / np.float32(_FULL_SCALE)


def _session(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise LiveError("The session is no string.", "message-invalid", UNSUPPORTED)


def _seconds(fields: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = fields.get(name, default)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LONGEST:
        return float(value)  # NaN is not between them
    raise LiveError(
        f"{name} has to be a number of seconds from 0 to 1,000,000.", "message-invalid", UNSUPPORTED
    )
