"""Serve a model over HTTP, in this process or in several that share a port."""

import ipaddress
import logging
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

from emo_fairseq.errors import UsageError
from emo_fairseq.serving.server import ServerOptions, check_turn_seconds, load_server
from emo_fairseq.serving.workers import run_workers

logger = logging.getLogger(__name__)


def serve(folder: Path, options: ServerOptions) -> None:
    """Serve the page and the API of a model.

    Raises:
        UsageError: the port or a limit is out of range, the port cannot be listened on, or the
            folder holds no model.
    """
    if not 1 <= options.port <= 65535:
        raise UsageError(
            f"--port {options.port}: give a number from 1 to 65535", "port-out-of-range"
        )
    check_turn_seconds(options.limits)
    with ExitStack() as stack:
        listening = bind(options.host, options.port)
        for each in listening:
            stack.callback(each.close)
        if options.workers > 1:
            announce(folder, options)
            run_workers(folder, options, listening)
        else:
            server = load_server(folder, options)
            announce(folder, options)
            server.run(listening)


def announce(folder: Path, options: ServerOptions) -> None:
    """Print the address, and warn where other machines can reach it."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    sys.stderr.write(f"{folder}: http://{host}:{options.port}/\n")
    if warning := exposure(options.host, bool(options.tokens)):
        logger.warning(warning)


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a socket for each address of a host, none of which listens yet.

    Raises:
        UsageError: an address is not of this machine, or is in use.
    """
    bound: list[socket.socket] = []
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(addresses):
            listening = socket.socket(family, kind, protocol)
            bound.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:  # an address of version 4 has a socket of its own
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
    except OSError as error:
        for listening in bound:
            listening.close()
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror or error}; give another one",
            "address-unusable",
        ) from None
    return bound


def exposure(host: str, needs_token: bool = False) -> str:
    """Return a warning if other machines can reach `host`; empty for the loopback interface.

    >>> exposure("127.0.0.1"), exposure("localhost"), exposure("::1")
    ('', '', '')
    >>> exposure("0.0.0.0")[:32]
    '0.0.0.0: other machines can reac'
    """
    try:
        inside = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if inside:
        return ""
    lacks = "has no encryption" if needs_token else "has neither tokens nor encryption"
    return (
        f"{host}: other machines can reach this server; it {lacks}, so put a proxy in front of it "
        "(deploy/ has configurations)"
    )
