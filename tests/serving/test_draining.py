"""A server that is stopped finishes what it has begun, within a bounded time."""

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn
from loudness import Loudness
from queue_meter import PATIENCE

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.live_protocol import RESTART
from emo_fairseq.serving.server import Server

TEXT = {"text": "a day"}


@pytest.fixture
def held(predictor, monkeypatch):
    """The model computes nothing until the first event is set; the second: it has begun."""
    release, begun, forward = threading.Event(), threading.Event(), predictor.engine.forward

    def wait(net_input):
        begun.set()
        assert release.wait(20)
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", wait)
    yield release, begun
    release.set()


def post(port):
    return httpx.post(f"http://127.0.0.1:{port}/api/predict", json=TEXT, timeout=30, verify=False)


def status(port, path):
    return httpx.get(f"http://127.0.0.1:{port}{path}", verify=False).status_code


def until_gone(port, seconds):
    """Return after how many seconds the port refuses connections."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        try:
            status(port, "/healthz")
        except httpx.TransportError:
            return time.monotonic() - start
        time.sleep(0.02)
    raise AssertionError("it still listens")


def test_what_has_begun_is_finished_and_nothing_new_begins(serve, held):
    release, begun = held
    lifecycle = Lifecycle(Limits(drain_seconds=20.0))
    closed = threading.Event()
    lifecycle.on_close(closed.set)
    options = {"lifecycle": lifecycle}
    with serve(options=options, drain_seconds=20.0) as port, ThreadPoolExecutor(2) as pool:
        assert status(port, "/readyz") == 200
        running = pool.submit(post, port)
        assert begun.wait(20)
        lifecycle.drain()
        deadline = time.monotonic() + PATIENCE
        while status(port, "/readyz") == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (status(port, "/readyz"), status(port, "/healthz")) == (503, 200)
        assert closed.wait(PATIENCE)
        refused = post(port)
        assert (refused.status_code, refused.json()["code"]) == (503, "server-stopping")
        assert int(refused.headers["Retry-After"]) >= 1
        release.set()
        assert running.result().status_code == 200
        assert running.result().headers["Connection"] == "close"
        assert until_gone(port, PATIENCE) < 20  # the time to finish


def test_the_time_to_finish_is_bounded(serve, held):
    _, begun = held
    lifecycle = Lifecycle(Limits(drain_seconds=0.4))
    options = {"lifecycle": lifecycle}
    with serve(options=options) as port, ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, port)
        assert begun.wait(20)
        lifecycle.drain()
        assert until_gone(port, PATIENCE) < 20  # as long as the model waits
        held[0].set()
        running.exception(20)  # it may have been answered while connections were closed


def test_new_requests_are_taken_while_balancers_notice():
    now = 0.0
    limits = Limits(drain_delay_seconds=5.0, drain_seconds=10.0)
    lifecycle, closed = Lifecycle(limits, clock=lambda: now), []
    lifecycle.on_close(lambda: closed.append(now))
    assert not lifecycle.is_over()
    lifecycle.drain()
    assert not lifecycle.is_ready
    now = 4.9
    assert not lifecycle.is_over()
    lifecycle.check_open()
    lifecycle.n_running = 1
    now = 5.1
    assert not lifecycle.is_over()
    with pytest.raises(HttpError, match="stopping"):
        lifecycle.check_open()
    now = 15.1
    assert lifecycle.is_over()
    lifecycle.n_running, now = 0, 6.0
    assert not lifecycle.is_over()  # a request that was sent may not have been read
    lifecycle.n_running, now = 1, 6.1
    assert not lifecycle.is_over()
    lifecycle.n_running, now = 0, 6.2
    assert not lifecycle.is_over()
    now = 6.5
    assert lifecycle.is_over()
    assert closed == [5.1]


def test_live_conversations_end_with_their_last_turn_and_a_code(serve, hum):
    pytest.importorskip("websockets")
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    lifecycle = Lifecycle(Limits())
    speech = (hum(0.8) * 32767).astype("<i2").tobytes()
    with (
        serve(make_voice=Loudness, options={"lifecycle": lifecycle}) as port,
        connect(f"ws://127.0.0.1:{port}/api/live") as socket,
        connect(f"ws://127.0.0.1:{port}/api/live") as silent,
    ):
        socket.send(json.dumps({"type": "start"}))
        assert json.loads(socket.recv(timeout=20))["type"] == "ready"
        socket.send(speech)
        assert json.loads(socket.recv(timeout=20))["type"] == "status"  # it has been read
        lifecycle.drain()
        messages = [json.loads(socket.recv(timeout=20)) for _ in range(2)]
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert [message["type"] for message in messages] == ["turn", "end"]
        assert messages[0]["label"]
        assert messages[1]["reason"] == "server-stopping"
        assert closed.value.rcvd.code == RESTART
        silent.send(json.dumps({"type": "start"}))
        refused = json.loads(silent.recv(timeout=20))
        assert (refused["type"], refused["code"]) == ("error", "server-stopping")


def test_a_second_signal_ends_the_server_at_once():
    """Threads get no signals, so that the handler is called."""
    lifecycle = Lifecycle(Limits())
    server = Server(uvicorn.Config(None), lifecycle)
    server.handle_exit(signal.SIGTERM, None)
    assert (lifecycle.is_ready, server.should_exit) == (False, False)
    server.handle_exit(signal.SIGTERM, None)
    assert (server.should_exit, server.force_exit) == (True, True)
