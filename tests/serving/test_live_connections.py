"""The WebSocket of live conversations on a real port."""

import json
import socket
import time

import httpx
import pytest
from loudness import Loudness
from queue_meter import PATIENCE

from emo_fairseq.serving.live_protocol import TOO_BIG

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(scope="module")
def port(serve):
    with serve(make_voice=Loudness, header_seconds=0.4, live_message_bytes=1000) as port:
        yield port


def receive(connection):
    return json.loads(connection.recv(timeout=20))


def start(connection):
    connection.send(json.dumps({"type": "start"}))
    return receive(connection)


def test_a_connection_outlives_the_deadline_of_headers(port):
    with connect(f"ws://127.0.0.1:{port}/api/live") as connection:
        assert start(connection)["type"] == "ready"
        time.sleep(0.6)
        connection.send(json.dumps({"type": "stop"}))
        assert receive(connection)["type"] == "end"
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=20)
    assert closed.value.rcvd.code == 1000
    assert connection.protocol.extensions == []  # samples are not compressed


@pytest.mark.parametrize("n_bytes", [1002, 100_000])
def test_large_messages_close_the_connection(port, n_bytes):
    """Of a little too much the client gets the reason; of much more nothing is read."""
    with connect(f"ws://127.0.0.1:{port}/api/live") as connection:
        start(connection)
        connection.send(bytes(n_bytes))
        if n_bytes < 2000:
            assert receive(connection)["code"] == "message-too-large"
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=20)
    assert closed.value.rcvd.code == TOO_BIG


def test_handshakes_are_refused_as_requests_are(port):
    for headers, status, code in (
        ({"Origin": "http://evil.example"}, 403, "origin-foreign"),
        ({"Origin": "null"}, 403, "origin-foreign"),
    ):
        with pytest.raises(InvalidStatus) as refused:
            connect(f"ws://127.0.0.1:{port}/api/live", additional_headers=headers)
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body)["code"] == code
        assert refused.value.response.headers["X-Content-Type-Options"] == "nosniff"
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{port}/api/predict")
    assert refused.value.response.status_code in (403, 404)
    assert httpx.get(f"http://127.0.0.1:{port}/api/live", verify=False).status_code == 404


def test_connections_are_counted(serve):
    with serve(make_voice=Loudness, connections=2) as port:
        address = f"ws://127.0.0.1:{port}/api/live"
        with connect(address) as one, socket.create_connection(("127.0.0.1", port)):
            start(one)
            with pytest.raises(InvalidStatus) as refused:
                connect(address)
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["code"] == "connections-full"
        with connected_again(address) as again:
            assert start(again)["type"] == "ready"


def connected_again(address):
    """Connect once the server has noticed that the others are closed."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return connect(address)
        except InvalidStatus:
            assert time.monotonic() < deadline, "closed connections are counted"
