"""Answers a second of ``emotion-recognize serve``: ``python -m benchmarks.serving MODEL_FOLDER``.

Clients on the loopback interface each post one text after another, as many of them at once as
``--clients`` says. Each takes another address of 127.0.0.0/8 after a few requests, so that the rate
of a client is not what is measured. Then a client posts a timeline of long audio and closes the
connection, and the CPU seconds that the server uses after that are counted.

``--checkout`` names other working copies of this repository to compare with: their servers run in
turn with this one's, round by round, so that whatever else the machine does falls on all of them.
Needs Linux.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

_HERE = Path(__file__).resolve().parents[1]
_PER_ADDRESS = 15  # requests; below the burst that a client may send
_BOUNDARY = "b0undary"
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
        return (
            f"{speed:7.1f} answers/s   p50 {p50:7.1f} ms   p95 {p95:7.1f} ms   "
            f"{refused} of {len(self.statuses)} refused"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("model", type=Path, help="model folder that reads text")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=480, help="of all clients, in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--checkout", type=Path, action="append", default=[])
    parser.add_argument("--minutes", type=float, default=14.0, help="of the dropped timeline")
    options = parser.parse_args(arguments)
    for n_clients in options.clients:
        found: dict[Path, list[Round]] = {}
        for _, checkout in itertools.product(range(options.rounds), [*options.checkout, _HERE]):
            with _server(checkout, options.model) as (_, port):
                asyncio.run(_load(port, n_clients, 4 * n_clients))  # warms up
                of_round = asyncio.run(_load(port, n_clients, options.requests))
            found.setdefault(checkout, []).append(of_round)
        for checkout, rounds in found.items():
            whole = Round(
                sum(one.seconds for one in rounds),
                [latency for one in rounds for latency in one.latencies],
                [status for one in rounds for status in one.statuses],
            )
            print(f"{checkout.name:16s} {n_clients:3d} clients {whole}", flush=True)
    _print_dropped(options)


def _print_dropped(options: argparse.Namespace) -> None:
    found: dict[Path, list[float]] = {}
    for _, checkout in itertools.product(range(options.rounds), [*options.checkout, _HERE]):
        with _server(checkout, options.model) as (server, port):
            found.setdefault(checkout, []).append(_dropped(server.pid, port, options.minutes))
    for checkout, seconds in found.items():
        median = statistics.median(seconds)
        print(f"{checkout.name:16s} {median:.2f} CPU s after a dropped timeline ({seconds})")


@contextmanager
def _server(checkout: Path, model: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "emo_fairseq.cli", "serve", str(model.resolve())]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=checkout,
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
                    raise SystemExit(f"{checkout}: the server of {model} does not start") from None
                time.sleep(0.1)
        yield server, port
    finally:
        server.terminate()
        server.wait(30)


async def _load(port: int, n_clients: int, n_requests: int) -> Round:
    numbers = iter(range(n_requests))
    result = Round()
    start = time.perf_counter()
    await asyncio.gather(*(_client(port, numbers, result) for _ in range(n_clients)))
    result.seconds = time.perf_counter() - start
    return result


async def _client(port: int, numbers: Iterator[int], result: Round) -> None:
    """Post texts one after another; each says its number, which has to be in its answer."""
    connection = None
    sent = 0
    for number in numbers:
        if connection is None or sent == _PER_ADDRESS:
            if connection is not None:
                connection[1].close()
            at = (next(_addresses), 0)
            connection = await asyncio.open_connection("127.0.0.1", port, local_addr=at)
            sent = 0
        text = f"number {number} is what i {'never ' * (number % 7)}wanted"
        start = time.perf_counter()
        try:
            status, answer = await _post(*connection, json.dumps({"text": text}).encode())
        except (OSError, asyncio.IncompleteReadError):
            status, answer = 0, b""
        sent += 1
        result.statuses.append(status)
        if status == 200:
            result.latencies.append(1000 * (time.perf_counter() - start))
            if f"number {number} " not in json.loads(answer)["text"]:
                raise SystemExit(f"{text!r} got the answer to another text: {answer!r}")
        else:
            connection = None  # a refusal closes it


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
) -> tuple[int, bytes]:
    writer.write(_head("predict", "application/json", len(body)) + body)
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
    part = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="audio"\r\n\r\n'.encode()
    body = part + file.getvalue() + f"\r\n--{_BOUNDARY}--\r\n".encode()
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
