"""A client that closes the connection while the model computes its response."""

import socket
import threading
from typing import Any

import httpx
from queue_meter import PATIENCE


def post_and_leave(port: int, path: str, begun: threading.Event, **form: Any) -> None:
    """Send a form, as httpx has it, and close the connection once the event is set."""
    request = httpx.Request("POST", f"http://127.0.0.1{path}", **form)
    body = request.read()
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(head + body)
        assert begun.wait(PATIENCE)
