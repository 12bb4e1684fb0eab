"""Live conversations over a WebSocket: turns, limits, protection, and connections that are lost."""

import itertools
import json
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loudness import Loudness
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from emo_fairseq.errors import UsageError
from emo_fairseq.inference.live import LiveConversation
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.inference.stopping import StoppedError
from emo_fairseq.serving import live_connection
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.live_protocol import LiveError, Skip, Start, parse_message
from emo_fairseq.serving.live_sessions import LiveSessions
from emo_fairseq.serving.meter import Meter

RATE = 16_000
BLOCK = 1600
LIVE = "ws://127.0.0.1/api/live"
FAST = {"live_ahead_seconds": 1e6}  # a test does not wait for the time to pass


class Ended(Meter):
    """Notes that the service has ended a connection."""

    def __init__(self):
        self.event = threading.Event()

    def live_changed(self, n):
        if n < 0:
            self.event.set()


@pytest.fixture(scope="module")
def make_client(predictor):
    def make(make_voice=Loudness, transcriber=None, model=None, meter=None, **limits):
        bounds = Limits(requests_per_second=1000.0, burst=1000, **{**FAST, **limits})
        app = create_app(
            model or predictor, bounds, make_voice=make_voice, transcriber=transcriber, meter=meter
        )
        return TestClient(app, base_url="http://127.0.0.1")

    return make


@pytest.fixture
def spoken(hum):
    """(T,) of silence and speech in turn, by their seconds; the speech of each is different."""

    def make(*seconds):
        whole = hum(30)
        parts = [
            np.zeros(round(s * RATE), np.float32)
            if number % 2 == 0
            else np.where(x := whole[number * RATE :][: round(s * RATE)], x, 0.01)
            for number, s in enumerate(seconds)
        ]
        return np.concatenate(parts)

    return make


def pcm(samples):
    """The samples as messages, and as the server reads them."""
    rounded = np.round(samples * 32767).astype("<i2")
    return [rounded[n : n + BLOCK].tobytes() for n in range(0, len(rounded), BLOCK)]


def read_as(samples):
    return np.round(samples * 32767).astype(np.float32) / 32768


def start(socket, session=None, position=0.0):
    socket.send_json({"type": "start", "session": session, "position": position})
    return until(socket, "ready")[-1]


def until(socket, kind):
    """Receive messages up to the first of a type."""
    messages = []
    while not messages or messages[-1]["type"] != kind:
        message = socket.receive_json()
        assert kind == "error" or message["type"] != "error", message
        messages.append(message)
    return messages


def stop(socket):
    socket.send_json({"type": "stop"})
    return until(socket, "end")


def close(socket, code, ended):
    """Close a connection, and wait until the service has read all that was sent over it.

    The end of the block of a connection cancels what the service has not finished.
    """
    socket.close(code)
    assert ended.event.wait(20)


def of_type(messages, kind):
    return [message for message in messages if message["type"] == kind]


def test_turns_come_with_their_times_and_as_a_prediction_of_their_samples(
    make_client, spoken, predictor
):
    samples = spoken(0.5, 1.0, 0.4, 0.7, 0.4, 1.2)
    with make_client().websocket_connect(LIVE) as socket:
        ready = start(socket)
        assert (ready["seconds"], ready["turns"], ready["resumed"]) == (0.0, 0, False)
        for block in pcm(samples):
            socket.send_bytes(block)
        messages = stop(socket)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1000
    turns, end = of_type(messages, "turn"), messages[-1]
    times = [(0.5, 1.5), (1.9, 2.6), (3.0, 4.2)]  # the last is ended by the stop
    assert [(round(turn["start"], 3), round(turn["end"], 3)) for turn in turns] == times
    assert [turn["number"] for turn in turns] == [1, 2, 3]
    assert (end["reason"], end["turns"], end["dropped"]) == ("stopped", 3, 0)
    assert end["seconds"] == pytest.approx(4.2)
    labels = []
    for turn in turns:
        first, last = (round(turn[side] * RATE) for side in ("start", "end"))
        expected = predictor.predict(read_as(samples[first:last]), sample_rate=RATE)
        assert turn["label"] == expected.label
        assert turn["probabilities"] == pytest.approx(dict(expected.probabilities), abs=1e-6)
        assert turn["values"] == pytest.approx(dict(expected.auxiliary["vad"]), abs=1e-6)
        assert (turn["speaker"], turn["text"], turn["error"]) == (None, None, None)
        assert turn["delay"] >= 0
        labels.append(turn["label"])
    shifts = [None, *(a != b for a, b in itertools.pairwise(labels))]
    assert [turn["shift"] for turn in turns] == shifts


def refusal(socket):
    """Return the code of the error that a connection is closed with, and the close code."""
    error = until(socket, "error")[-1]
    assert error["error"].endswith(".")
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    return error["code"], closed.value.code


def test_two_conversations_at_once_do_not_mix(make_client, spoken):
    first, second = spoken(0.3, 1.0, 0.3), spoken(0.1, 0.5, 0.3, 0.5, 0.3)
    client = make_client()
    with client.websocket_connect(LIVE) as one, client.websocket_connect(LIVE) as other:
        names = {start(one)["session"], start(other)["session"]}
        assert len(names) == 2
        for n in range(max(len(pcm(first)), len(pcm(second)))):
            for socket, samples in ((one, first), (other, second)):
                for block in pcm(samples)[n : n + 1]:
                    socket.send_bytes(block)
        of_one, of_other = of_type(stop(one), "turn"), of_type(stop(other), "turn")
    assert [round(turn["start"], 3) for turn in of_one] == [0.3]
    assert [round(turn["start"], 3) for turn in of_other] == [0.1, 0.9]


BAD = [
    # limits, what is sent, whether after the start, code, close code
    ({}, b"\0" * 32, False, "start-missing", 1008),
    ({}, {"type": "stop"}, False, "start-missing", 1008),
    ({}, {"type": "start", "session": 1}, False, "message-invalid", 1003),
    ({}, {"type": "start", "position": float("nan")}, False, "message-invalid", 1003),
    ({}, {"type": "start", "position": -1}, False, "message-invalid", 1003),
    ({}, {"type": "start", "position": True}, False, "message-invalid", 1003),
    ({}, {"type": "start"}, True, "start-repeated", 1008),
    ({}, {"type": "skip"}, True, "message-invalid", 1003),
    ({}, {"type": "other"}, True, "message-invalid", 1003),
    ({}, [1], True, "message-invalid", 1003),
    ({}, "x" * 2000, True, "message-too-large", 1009),
    ({}, b"\0" * 33, True, "audio-invalid", 1003),
    ({}, b"", True, "audio-invalid", 1003),
    ({"live_message_bytes": 100}, b"\0" * 102, True, "message-too-large", 1009),
    ({"header_seconds": 0.05}, None, False, "start-timeout", 1008),
    ({"live_idle_seconds": 0.05}, None, True, "live-idle", 1008),
]


@pytest.mark.parametrize(("limits", "sent", "begun", "code", "close_code"), BAD)
def test_invalid_messages_and_silence_end_a_connection(
    make_client, limits, sent, begun, code, close_code
):
    with make_client(**limits).websocket_connect(LIVE) as socket:
        if begun:
            start(socket)
        if isinstance(sent, bytes):
            socket.send_bytes(sent)
        elif sent is not None:
            socket.send_json(sent)
        assert refusal(socket) == (code, close_code)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
_FIELDS = st.fixed_dictionaries(
    {"type": st.sampled_from(["start", "skip", "stop"]) | _VALUES},
    optional={"session": _VALUES, "position": _VALUES, "seconds": _VALUES},
)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=300) | st.text() | (_FIELDS | _VALUES).map(json.dumps))
def test_messages_are_parsed_or_refused(content):
    key = "bytes" if isinstance(content, bytes) else "text"
    try:
        message = parse_message({"type": "websocket.receive", key: content}, 200)
    except LiveError:
        return
    if isinstance(message, np.ndarray):
        assert 2 * len(message) == len(content) <= 200
        assert np.abs(message).max() <= 1
    else:
        seconds = {Start: "position", Skip: "seconds"}.get(type(message))
        assert seconds is None or 0 <= getattr(message, seconds) <= 1e6


def test_a_conversation_has_a_length(make_client, spoken):
    with make_client(live_seconds=1.0).websocket_connect(LIVE) as socket:
        start(socket)
        for block in pcm(spoken(0.2, 2.0)):
            socket.send_bytes(block)
        messages = until(socket, "end")
    assert messages[-1]["reason"] == "time-limit"
    assert [round(turn["end"], 3) for turn in of_type(messages, "turn")] == [1.0]


def test_audio_is_read_no_faster_than_it_can_have_been_recorded(make_client, spoken):
    blocks = pcm(spoken(0.8))
    with make_client(live_ahead_seconds=0.3).websocket_connect(LIVE) as socket:
        start(socket)
        began = time.monotonic()
        for block in blocks:
            socket.send_bytes(block)
        stop(socket)
        assert time.monotonic() - began >= 0.45


def test_conversations_at_a_time_are_limited(make_client):
    client = make_client(live_sessions=3)
    with client.websocket_connect(LIVE) as one:
        start(one)
        with client.websocket_connect(LIVE) as other:
            other.send_json({"type": "start"})
            assert refusal(other) == ("live-client-full", 1013)
        stop(one)
    with client.websocket_connect(LIVE) as again:
        assert start(again)["turns"] == 0


@pytest.fixture
def slow(predictor, monkeypatch):
    """The model computes nothing until the first event is set; the second: it has begun."""
    release, begun, forward = threading.Event(), threading.Event(), predictor.engine.forward

    def wait(net_input):
        begun.set()
        assert release.wait(20)
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", wait)
    yield release, begun
    release.set()


def test_turns_are_dropped_with_a_count_when_the_model_is_too_slow(make_client, spoken, slow):
    release, begun = slow
    samples = spoken(*[0.25, 0.2] * 8, 0.25)
    with make_client(live_waiting_turns=2).websocket_connect(LIVE) as socket:
        start(socket)
        first, *rest = np.split(samples, [round(0.7 * RATE)])
        for block in pcm(first):
            socket.send_bytes(block)
        assert begun.wait(20)  # the first turn is with the model
        for block in pcm(rest[0]):
            socket.send_bytes(block)
        dropped = [until(socket, "dropped")[-1] for _ in range(5)]
        release.set()
        messages = stop(socket)
    assert [message["number"] for message in dropped] == [4, 5, 6, 7, 8]
    assert [turn["number"] for turn in of_type(messages, "turn")] == [1, 2, 3]
    end = messages[-1]
    assert (end["turns"], end["dropped"]) == (8, 5)
    assert end["seconds"] == pytest.approx(len(samples) / RATE, abs=1e-3)


def test_a_turn_that_cannot_be_predicted_is_reported(make_client, spoken, predictor, monkeypatch):
    forward = predictor.engine.forward
    outcomes = [UsageError("the turn: no good", "x"), None, OSError(9)]

    def fail(net_input):
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", fail)
    with make_client().websocket_connect(LIVE) as socket:
        start(socket)
        for block in pcm(spoken(*[0.3, 0.3] * 3)):
            socket.send_bytes(block)
        turns = of_type(stop(socket), "turn")
    assert [turn["label"] is None for turn in turns] == [True, False, True]
    assert turns[0]["error"] == "the turn: no good"
    assert turns[1]["error"] is None
    assert turns[2]["error"]
    assert turns[1]["shift"] is None


# -- connections that are lost ---------------------------------------------------------------------


class Numbering(LiveConversation):
    """Says which turn of the model's conversation each is."""

    def add_turn(self, *audio, **options):
        prediction = super().add_turn(*audio, **options)
        return replace(prediction, warnings=(f"turn {self.n_turns}",))


def test_a_lost_connection_is_continued(make_client, spoken, monkeypatch):
    monkeypatch.setattr(live_connection, "LiveConversation", Numbering)
    ended = Ended()
    client, samples = make_client(meter=ended), spoken(0.2, 0.5, 0.3)
    with client.websocket_connect(LIVE) as socket:
        name = start(socket)["session"]
        for block in pcm(samples):
            socket.send_bytes(block)
        until(socket, "turn")
        close(socket, 1006, ended)
    with client.websocket_connect(LIVE) as socket:
        ready = start(socket, name, 5.0)
        assert (ready["resumed"], ready["session"]) == (True, name)
        assert (ready["seconds"], ready["turns"]) == (5.0, 1)
        for block in pcm(samples):
            socket.send_bytes(block)
        socket.send_json({"type": "skip", "seconds": 2.0})
        for block in pcm(samples):
            socket.send_bytes(block)
        messages = stop(socket)
    turns = of_type(messages, "turn")
    assert [turn["number"] for turn in turns] == [2, 3]
    assert [round(turn["start"], 3) for turn in turns] == [5.2, 8.2]
    assert [turn["warnings"] for turn in turns] == [["turn 2"], ["turn 3"]]
    assert turns[0]["shift"] is False  # the same speech as the turn before the connection was lost
    # It has ended: its name is worth nothing, and the times go on.
    with client.websocket_connect(LIVE) as socket:
        ready = start(socket, name, 9.0)
        assert (ready["resumed"], ready["turns"], ready["seconds"]) == (False, 0, 9.0)
        assert ready["session"] != name


def test_leaving_the_page_drops_a_conversation(make_client):
    ended = Ended()
    client = make_client(meter=ended)
    with client.websocket_connect(LIVE) as socket:
        name = start(socket)["session"]
        close(socket, 1001, ended)
    with client.websocket_connect(LIVE) as socket:
        assert start(socket, name)["resumed"] is False


def test_another_connection_takes_over(make_client, spoken):
    client = make_client()
    with client.websocket_connect(LIVE) as first, client.websocket_connect(LIVE) as second:
        name = start(first)["session"]
        assert start(second, name, 1.0)["resumed"] is True
        assert refusal(first) == ("live-taken", 1008)
        for block in pcm(spoken(0.2, 0.5, 0.3)):
            second.send_bytes(block)
        assert [round(turn["start"], 3) for turn in of_type(stop(second), "turn")] == [1.2]


def test_speech_that_a_lost_connection_cuts_off_is_counted(make_client, spoken):
    ended = Ended()
    client, samples = make_client(meter=ended), spoken(0.2, 0.5, 0.5, 0.7)
    with client.websocket_connect(LIVE) as socket:
        name = start(socket)["session"]
        for block in pcm(samples):
            socket.send_bytes(block)
        assert until(socket, "turn")[-1]["number"] == 1
        close(socket, 1006, ended)
    with client.websocket_connect(LIVE) as socket:
        assert start(socket, name, 5.0)["turns"] == 2
        for block in pcm(samples):
            socket.send_bytes(block)
        messages = stop(socket)
    assert [turn["number"] for turn in of_type(messages, "turn")] == [3, 4]


class _Connection:
    def close(self):
        raise AssertionError("closed")


def test_lost_conversations_expire_and_are_bounded():
    now = 0.0
    limits = Limits(live_sessions=2, live_resume_seconds=10.0)
    sessions = LiveSessions(limits, clock=lambda: now)

    def lose(address):
        session = sessions.open(address, None)
        session.connection = _Connection()
        sessions.leave(session, session.connection, keep=True)
        return session

    kept = lose("10.0.0.1")
    now = 9.0
    assert sessions.resume(kept.name) is kept
    kept.connection = _Connection()
    sessions.leave(kept, kept.connection, keep=True)
    now = 19.0
    assert sessions.resume(kept.name) is None
    lost = [lose(f"10.0.0.{n}") for n in range(5)]
    assert (sessions.n_lost, len(sessions)) == (2, 0)
    assert [sessions.resume(session.name) is not None for session in lost[:4]] == [False] * 3 + [
        True
    ]
    sessions.open("10.0.0.9", None)
    with pytest.raises(LiveError, match="as many live conversations as it may"):
        sessions.open("10.0.0.10", None)
    with pytest.raises(LiveError, match="as many live conversations as it may"):
        sessions.resume(lost[4].name)
    now = 99.0
    assert sessions.n_lost == 0


# -- transcripts, and models that read no speech ---------------------------------------------------


def test_a_transcript_is_read_and_stops_when_the_client_leaves(make_client, spoken, predictor):
    begun, stopped = threading.Event(), threading.Event()

    def transcribe(samples, words=False, should_stop=None):
        if len(samples) < 0.4 * RATE:
            return "what a day"
        begun.set()
        for _ in range(2000):
            if should_stop():
                stopped.set()
                raise StoppedError
            time.sleep(0.005)
        raise AssertionError("never stopped")

    transcribe.name = "tiny"
    client = make_client(transcriber=transcribe)
    assert client.get("/api/model").json()["live"]["warnings"] == []
    with client.websocket_connect(LIVE) as socket:
        assert start(socket)["warnings"] == []
        for block in pcm(spoken(0.2, 0.3, 0.3, 0.5, 0.3)):
            socket.send_bytes(block)
        assert until(socket, "turn")[-1]["text"] == "what a day"
        assert begun.wait(20)
        socket.close()  # the end of the block would also cancel what the service has not finished
        assert stopped.wait(20)


def test_it_is_said_what_is_missing(make_client, trained_models):
    model = load_predictor(trained_models.folder("--modality text"), "cpu")
    without_voice, text_alone = make_client(make_voice=None), make_client(model=model)
    for client, words in ((without_voice, "install faster-whisper"), (text_alone, "--transcribe")):
        assert words in client.get("/api/model").json()["live"]["missing"]
        with client.websocket_connect(LIVE) as socket:
            socket.send_json({"type": "start"})
            assert refusal(socket) == ("live-unavailable", 1003)
    about = make_client().get("/api/model").json()["live"]
    assert about["missing"] is None
    assert "from their sound alone" in about["warnings"][0]


# -- other pages -----------------------------------------------------------------------------------

OURS = "127.0.0.1:8000"
HANDSHAKES = [
    # host, headers, status; as of the requests in test_security.py
    (OURS, {}, 101),
    (OURS, {"Origin": f"http://{OURS}", "Sec-Fetch-Site": "same-origin"}, 101),
    (OURS, {"Origin": "http://evil.example"}, 403),
    (OURS, {"Origin": "null"}, 403),
    (OURS, {"Origin": "http://localhost:8000"}, 403),
    (OURS, {"Sec-Fetch-Site": "cross-site"}, 403),
    ("evil.example", {"Origin": "http://evil.example"}, 421),
]


@pytest.mark.parametrize(("host", "headers", "status"), HANDSHAKES)
def test_handshakes_of_other_pages_are_refused(make_client, host, headers, status):
    client = make_client()
    with ExitStack() as stack:
        if status != 101:
            refused = stack.enter_context(pytest.raises(WebSocketDenialResponse))
        with client.websocket_connect(LIVE, headers={"Host": host, **headers}) as socket:
            assert start(socket)["turns"] == 0
    if status != 101:
        assert refused.value.status_code == status
        assert refused.value.json()["code"] in ("origin-foreign", "host-unknown")


def test_handshakes_have_a_rate(predictor):
    limits = Limits(requests_per_second=0.1, burst=2)
    client = TestClient(create_app(predictor, limits, make_voice=Loudness))
    for _ in range(2):
        with client.websocket_connect(LIVE) as socket:
            start(socket)
    with pytest.raises(WebSocketDenialResponse) as refused, client.websocket_connect(LIVE):
        pass
    assert refused.value.status_code == 429
