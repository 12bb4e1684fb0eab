"""Responses a second of ``emotion-recognize serve``: ``python -m benchmarks.serving MODEL_FOLDER``.

Clients on the loopback interface each post one text or recording after another, as many of them at
once as ``--clients`` says. Each takes another address of 127.0.0.0/8 after a few requests, so that
the rate of a client is not what is measured. A round ends after ``--requests``, or after
``--seconds``. With ``--minutes`` a client then posts a timeline of long audio and closes the
connection, and the CPU seconds that the server uses after that are counted.

The server runs with each ``--variant``, which is a name and options of ``serve``; by default
without batches, with them, and with batches that wait for further requests. ``--checkout`` names
other working copies of this repository to compare with. All run in turn, round by round, so that
whatever else the machine does falls on all of them. Needs Linux.
"""

import argparse
import asyncio
import functools
import io
import itertools
import json
import os
import shlex
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

_HERE = Path(__file__).resolve().parents[1]
_PER_ADDRESS = 15  # requests; below the burst that a client may send
_BOUNDARY = "b0undary"
_RATE = 16_000
_VARIANTS = (
    "one by one: --batch-size 1",
    "batches:",
    "batches, 5 ms: --batch-wait-milliseconds 5",
)
_addresses = (f"127.{a}.{b}.{c}" for a in range(1, 250) for b in range(250) for c in range(1, 250))


@dataclass
class Round:
    """What one round of one server found."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # of answers, in milliseconds
    statuses: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        p50, p95 = np.percentile(self.latencies, [50, 95]) if self.latencies else (np.nan, np.nan)
        speed = len(self.latencies) / self.seconds
        refused = len(self.statuses) - len(self.latencies)
        return f"{speed:.1f} | {p50:.1f} ms | {p95:.1f} ms | {refused} of {len(self.statuses)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("model", type=Path, help="model folder that reads text")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=480, help="of all clients, in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="that a round takes at most")
    parser.add_argument("--input", choices=tuple(_BODIES), default="text")
    parser.add_argument("--variant", action="append", help="NAME: OPTIONS of serve")
    parser.add_argument("--checkout", type=Path, action="append", default=[])
    parser.add_argument("--minutes", type=float, default=0.0, help="of the dropped timeline")
    options = parser.parse_args(arguments)
    servers = [Served(path.name, path) for path in options.checkout]
    for variant in options.variant or _VARIANTS:
        name, _, words = variant.partition(":")
        servers.append(Served(name, _HERE, tuple(shlex.split(words))))
    print("| clients | server | responses/s | p50 | p95 | refused |\n|---|---|---|---|---|---|")
    found: dict[tuple[int, Served], list[Round]] = {}
    for _, server in itertools.product(range(options.rounds), servers):
        with _server(server, options.model) as (_, port):
            for n_clients in options.clients:
                load = functools.partial(_load, port, n_clients, _BODIES[options.input])
                asyncio.run(load(4 * n_clients, options.seconds / 4))  # warms up
                measured = asyncio.run(load(options.requests, options.seconds))
                found.setdefault((n_clients, server), []).append(measured)
                sys.stderr.write(f"{n_clients} clients, {server.name}: {measured}\n")
    for n_clients, server in itertools.product(options.clients, servers):
        rounds = found[n_clients, server]
        whole = Round(
            sum(one.seconds for one in rounds),
            [latency for one in rounds for latency in one.latencies],
            [status for one in rounds for status in one.statuses],
        )
        print(f"| {n_clients} | {server.name} | {whole} |", flush=True)
    if options.minutes:
        _print_dropped(options, servers)


def _print_dropped(options: argparse.Namespace, servers: Sequence["Served"]) -> None:
    found: dict[Served, list[float]] = {}
    for _, server in itertools.product(range(options.rounds), servers):
        with _server(server, options.model) as (process, port):
            found.setdefault(server, []).append(_dropped(process.pid, port, options.minutes))
    for server, seconds in found.items():
        median = statistics.median(seconds)
        print(f"{server.name}: {median:.2f} CPU s after a dropped timeline ({seconds})")


@dataclass(frozen=True)
class Served:
    """A server that is measured: its name, its working copy, and options of ``serve``."""

    name: str
    checkout: Path
    options: tuple[str, ...] = ()


@contextmanager
def _server(served: Served, model: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "emo_fairseq.cli", "serve", str(model.resolve())]
    libraries = os.environ.get("PYTHONPATH", "").split(os.pathsep)[1:]
    paths = os.pathsep.join([str(served.checkout.resolve()), *libraries])
    environment = {**os.environ, "PYTHONPATH": paths}
    server = subprocess.Popen(
        [*command, "--port", str(port), *served.options],
        cwd=served.checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(
                        f"{served.name}: the server of {model} does not start"
                    ) from None
                time.sleep(0.1)
        yield server, port
    finally:
        server.terminate()
        server.wait(30)


def _text(number: int) -> tuple[str, bytes]:
    """Return the type and the body of a request."""
    text = f"number {number} is what i {'never ' * (number % 7)}wanted"
    return "application/json", json.dumps({"text": text}).encode()


def _audio(number: int) -> tuple[str, bytes]:
    """Likewise, of a recording of 2 to 4 s, whose length is its number."""
    file = io.BytesIO()
    samples = _noise()[: 2 * _RATE + number % (2 * _RATE)]
    soundfile.write(file, samples, _RATE, format="WAV", subtype="PCM_16")
    return f"multipart/form-data; boundary={_BOUNDARY}", _form(file.getvalue())


@functools.cache
def _noise() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, 4 * _RATE)


def _form(audio: bytes) -> bytes:
    part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="audio"\r\n\r\n'.encode()
    return part + audio + f"\r\n--{_BOUNDARY}--\r\n".encode()


def _is_of(number: int, response: dict[str, Any]) -> bool:
    """Return whether a response belongs to the request with a number."""
    if response["text"] is not None:
        return f"number {number} " in response["text"]
    return round(response["seconds"] * _RATE) == 2 * _RATE + number % (2 * _RATE)


Body = Callable[[int], tuple[str, bytes]]
_BODIES: dict[str, Body] = {"text": _text, "audio": _audio}


async def _load(port: int, n_clients: int, body: Body, n_requests: int, seconds: float) -> Round:
    numbers = iter(range(n_requests))
    result = Round()
    start = time.perf_counter()
    until = start + seconds
    await asyncio.gather(*(_client(port, numbers, body, until, result) for _ in range(n_clients)))
    result.seconds = time.perf_counter() - start
    return result


async def _client(
    port: int, numbers: Iterator[int], body: Body, until: float, result: Round
) -> None:
    """Send one request after another; each has a number, to which its response has to belong."""
    connection = None
    sent = 0
    for number in numbers:
        if time.perf_counter() > until:
            return
        if connection is None or sent == _PER_ADDRESS:
            if connection is not None:
                connection[1].close()
            at = (next(_addresses), 0)
            connection = await asyncio.open_connection("127.0.0.1", port, local_addr=at)
            sent = 0
        kind, content = body(number)
        start = time.perf_counter()
        try:
            status, answer = await _post(*connection, kind, content)
        except (OSError, asyncio.IncompleteReadError):
            status, answer = 0, b""
        sent += 1
        result.statuses.append(status)
        if status == 200:
            result.latencies.append(1000 * (time.perf_counter() - start))
            if not _is_of(number, json.loads(answer)):
                raise SystemExit(f"request {number} got the response to another one: {answer!r}")
        else:
            connection = None  # a refusal closes it


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str, body: bytes
) -> tuple[int, bytes]:
    writer.write(_head("predict", kind, len(body)) + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


def _head(name: str, content_type: str, length: int) -> bytes:
    return (
        f"POST /api/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


def _dropped(pid: int, port: int, minutes: float) -> float:
    """CPU seconds that the server uses after the client of a timeline has left."""
    rate = 8000
    noise = np.random.default_rng(1).normal(0, 0.1, round(minutes * 60 * rate))
    file = io.BytesIO()
    soundfile.write(file, noise, rate, format="WAV", subtype="PCM_16")
    body = _form(file.getvalue())
    kind = f"multipart/form-data; boundary={_BOUNDARY}"
    before = _cpu_seconds(pid)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(_head("timeline", kind, len(body)) + body)
        deadline = time.monotonic() + 60
        while _cpu_seconds(pid) < before + 1.5:  # it has been decoded and is being computed
            if time.monotonic() > deadline:
                raise SystemExit("the timeline takes no time: the model has to read speech")
            time.sleep(0.05)
    left = _cpu_seconds(pid)
    used = left
    while True:
        time.sleep(1.0)
        now = _cpu_seconds(pid)
        if now - used < 0.05:
            return round(now - left, 2)
        used = now


def _cpu_seconds(pid: int) -> float:
    """Of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
