"""Connections before there is a request, and after the client has disconnected."""

import json
import socket
import time

import httpx
import pytest
from leaving_client import post_and_leave
from queue_meter import PATIENCE

from emo_fairseq.serving.limits import Limits


def exchange(port, content, timeout=20):
    """What the server sends back until it closes the connection, and the seconds that takes."""
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        connection.sendall(content)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer, time.monotonic() - start


def refusal(answer):
    """Return the status and the code of a response."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower(), answer
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400, "http-invalid"),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "http-invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431, "headers-too-large"),
    ],
    ids=["TLS", "no header", "large"],
)
def test_invalid_http_is_refused_in_json(serve, content, status, code):
    with serve() as port:
        assert refusal(exchange(port, content)[0]) == (status, code)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).status_code == 200


def test_headers_have_a_deadline(serve):
    with serve(header_seconds=0.4) as port:
        half = b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        answer, seconds = exchange(port, half)
        assert refusal(answer) == (408, "headers-timeout")
        assert seconds < Limits.header_seconds
        assert exchange(port, b"")[0] == b""
        # The deadline is of each request of a connection, and none while one is answered.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", verify=False) as client:
            for _ in range(3):
                assert client.get("/healthz").status_code == 200
                time.sleep(0.3)
        whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        answer, seconds = exchange(port, whole + half)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"408" in answer
        assert seconds < Limits.header_seconds


def test_too_many_connections_are_refused_in_json(serve):
    with serve(connections=2) as port:
        idle = [connected(port) for _ in range(2)]
        refused = httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert refused.json()["code"] == "connections-full"
        for connection in idle:
            connection.close()
        deadline = time.monotonic() + PATIENCE
        while httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).status_code != 200:
            assert time.monotonic() < deadline, "closed connections are counted"


def connected(port):
    """A connection that the server has accepted, and responded to."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    return connection


def test_computation_stops_once_its_client_has_disconnected(serve, until_stopped, hum, encode):
    begun, sizes = until_stopped
    form = {
        "files": {"audio": encode(hum(90))},
        "data": {"window_seconds": "0.5", "hop_seconds": "0.25"},
    }
    with serve(threads=1) as port:
        post_and_leave(port, "/api/timeline", begun, **form)
        # The text is computed after the first of the 12 batches of the timeline, which is the last.
        address = f"http://127.0.0.1:{port}/api/predict"
        text = httpx.post(address, json={"text": "a day"}, timeout=PATIENCE, verify=False)
        assert text.status_code == 200
        assert sizes == [32, 1]
