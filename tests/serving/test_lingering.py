"""A client that is refused while it sends a long body gets the reason, and not a reset."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from emo_fairseq.serving.server import bound_fragmentation

HEAD = "POST /api/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
BODY = 3_000_000  # bytes, more than the buffers of a connection hold


def response_of(connection):
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.fixture
def refused(serve):
    """A connection of a client whose next request is refused."""
    with serve(requests_per_second=0.001, burst=1) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as first:
            first.sendall(f"{HEAD}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            response_of(first)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            yield connection


def test_a_refused_client_may_finish_its_body(refused):
    refused.sendall(f"{HEAD}Content-Length: {BODY}\r\n\r\n".encode())
    time.sleep(0.2)  # the response is there, and the body is not
    for _ in range(30):
        refused.sendall(b" " * (BODY // 30))
    assert response_of(refused) == (429, "rate-exceeded")


def test_a_client_that_sends_no_more_is_not_waited_for(refused):
    start = time.monotonic()
    refused.sendall(f"{HEAD}Content-Length: {BODY}\r\n\r\n".encode())
    assert response_of(refused) == (429, "rate-exceeded")
    assert time.monotonic() - start < 10


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_the_allocator_is_set_unless_the_environment_does(monkeypatch):
    program = "from emo_fairseq.serving.server import bound_fragmentation as b; print(b())"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    has_glibc = "glibc" in os.confstr("CS_GNU_LIBC_VERSION").lower()
    assert run.stdout.strip() == str(has_glibc)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    assert not bound_fragmentation()
