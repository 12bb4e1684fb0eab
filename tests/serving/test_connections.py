"""Connections before there is a request, and after the client has disconnected."""

import json
import socket
import threading
import time

import httpx
import pytest


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
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_headers_have_a_deadline(serve):
    with serve(header_seconds=0.4) as port:
        half = b"POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        answer, seconds = exchange(port, half)
        assert refusal(answer) == (408, "headers-timeout")
        assert seconds < 5
        assert exchange(port, b"")[0] == b""
        # The deadline is of each request of a connection, and none while one is answered.
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(3):
                assert client.get("/healthz").status_code == 200
                time.sleep(0.3)
        whole = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        answer, seconds = exchange(port, whole + half)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"408" in answer
        assert seconds < 5


def test_too_many_connections_are_refused_in_json(serve):
    with serve(connections=2) as port:
        idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        time.sleep(0.2)
        refused = httpx.get(f"http://127.0.0.1:{port}/healthz")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert refused.json()["code"] == "connections-full"
        for connection in idle:
            connection.close()
        time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200


def test_computation_stops_once_its_client_has_disconnected(
    serve, predictor, monkeypatch, hum, encode
):
    forward, begun, n_batches = predictor.engine.forward, threading.Event(), 0

    def slow(net_input):
        nonlocal n_batches
        n_batches += 1
        begun.set()
        time.sleep(0.1)
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", slow)
    form = httpx.Request(
        "POST",
        "http://127.0.0.1/api/timeline",
        files={"audio": encode(hum(90))},
        data={"window_seconds": "0.5", "hop_seconds": "0.25"},
    )
    body = form.read()
    lines = [f"{name}: {value}" for name, value in form.headers.items()]
    head = "\r\n".join(["POST /api/timeline HTTP/1.1", *lines, "", ""]).encode()
    with serve(threads=1) as port:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(head + body)
            assert begun.wait(20)
        # Answered at once: the 12 batches of the timeline are not computed before.
        text = httpx.post(f"http://127.0.0.1:{port}/api/predict", json={"text": "a day"})
        assert text.status_code == 200
        assert n_batches <= 5
        time.sleep(0.5)
        assert n_batches <= 5
