"""Responses a second of ``emotion-recognize serve``: ``python -m benchmarks.serving MODEL_FOLDER``.

Clients on the loopback interface each post one text or recording after another, as many at once as
``--clients``; one that is refused waits for the seconds of ``Retry-After``. Each takes
another address of 127.0.0.0/8 after a few requests, so that the rate of a client is not what is
measured. A round ends after ``--requests``, or after ``--seconds``. Then, with

- ``--soak MINUTES``, requests come at ``--share`` of the highest rate of the table, whether or not
  earlier ones have been answered; latencies count from when a request is due. Printed are the
  resident memory of the server and the responses at the beginning, in the middle and at the end.
- ``--stops N``, the server gets SIGTERM while as many clients as gave the highest rate send
  requests, N times. A request that was sent before the signal and has no response is lost.
- ``--dropped-minutes M``, a client posts a timeline of so much audio and closes the connection, and
  the CPU seconds that the server uses after that are counted.

It fails if a response belongs to another request, or if one is lost.

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
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
_LOST = 0  # the status of a request without a response
_COLUMNS = "responses/s | p50 | p95 | CPU a response | refused | lost | mixed up"
_KEPT_SECONDS = 2.0  # that a connection is idle: the server closes it after 5
_RETRY_SECONDS = 0.1  # until a client whose connection was lost sends again
_STOPPED_AFTER = 1.0  # seconds of requests before SIGTERM
_addresses = (f"127.{a}.{b}.{c}" for a in range(1, 250) for b in range(250) for c in range(1, 250))


@dataclass
class Round:
    """What one round of one server found.

    Attributes:
        seconds: that it took.
        latencies: of responses with a prediction, in milliseconds.
        statuses: of all requests; 0 of one without a response.
        n_mixed_up: responses that belong to another request.
        cpu_seconds: that the server used; unlike the others, hardly depends on what else the
            machine does.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    n_mixed_up: int = 0
    cpu_seconds: float = 0.0

    @property
    def speed(self) -> float:
        """Predictions a second."""
        return len(self.latencies) / self.seconds

    @property
    def n_lost(self) -> int:
        """Requests without a response."""
        return self.statuses.count(_LOST)

    def __str__(self) -> str:
        p50, p95 = np.percentile(self.latencies, [50, 95]) if self.latencies else (np.nan, np.nan)
        refused = len(self.statuses) - len(self.latencies) - self.n_lost
        counts = f"{refused} of {len(self.statuses)} | {self.n_lost} | {self.n_mixed_up}"
        cpu = 1000 * self.cpu_seconds / len(self.latencies) if self.latencies else np.nan
        return f"{self.speed:.1f} | {p50:.1f} ms | {p95:.1f} ms | {cpu:.1f} ms | {counts}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving")
    parser.add_argument("model", type=Path, help="model folder that reads text, or speech")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--requests", type=int, default=480, help="of all clients, in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30.0, help="that a round takes at most")
    parser.add_argument("--input", choices=tuple(_BODIES), default="text")
    parser.add_argument("--variant", action="append", help="NAME: OPTIONS of serve")
    parser.add_argument("--checkout", type=Path, action="append", default=[])
    soak = "minutes of requests at a constant rate, with the memory of the server"
    parser.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help=soak)
    parser.add_argument("--share", type=float, default=0.7, help="of the highest rate, in a soak")
    stops = "times that a server is stopped while requests come"
    parser.add_argument("--stops", type=int, default=0, metavar="N", help=stops)
    dropped = "of the timeline whose client leaves"
    parser.add_argument("--dropped-minutes", type=float, default=0.0, metavar="M", help=dropped)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    options = _parser().parse_args(arguments)
    servers = [Served(path.name, path) for path in options.checkout]
    for variant in options.variant or _VARIANTS:
        name, _, words = variant.partition(":")
        servers.append(Served(name, _HERE, tuple(shlex.split(words))))
    print(f"| clients | server | {_COLUMNS} |\n{'|---' * 9}|", flush=True)
    rounds: dict[tuple[int, Served], list[Round]] = {}
    for _, server in itertools.product(range(options.rounds), servers):
        with _server(server, options.model) as (process, port):
            for n_clients in options.clients:
                load = functools.partial(_load, port, n_clients, _BODIES[options.input])
                asyncio.run(load(4 * n_clients, options.seconds / 4))  # warms up
                before = _cpu_seconds(process.pid)
                measured = asyncio.run(load(options.requests, options.seconds))
                measured.cpu_seconds = _cpu_seconds(process.pid) - before
                rounds.setdefault((n_clients, server), []).append(measured)
                sys.stderr.write(f"{n_clients} clients, {server.name}: {measured}\n")
    wholes: dict[tuple[int, Served], Round] = {}
    for n_clients, server in itertools.product(options.clients, servers):
        wholes[n_clients, server] = whole = _joined(rounds[n_clients, server])
        print(f"| {n_clients} | {server.name} | {whole} |", flush=True)
    n_clients, fastest = max(wholes, key=lambda key: wholes[key].speed)
    n_wrong = sum(whole.n_lost + whole.n_mixed_up for whole in wholes.values())
    if options.soak:
        n_wrong += _print_soak(options, fastest, wholes[n_clients, fastest].speed)
    if options.stops:
        n_wrong += _print_stops(options, fastest, n_clients)
    if options.dropped_minutes:
        _print_dropped(options, servers)
    if n_wrong:
        raise SystemExit(f"{n_wrong} responses were lost or belong to another request")


def _joined(rounds: Sequence[Round]) -> Round:
    return Round(
        sum(part.seconds for part in rounds),
        [latency for part in rounds for latency in part.latencies],
        [status for part in rounds for status in part.statuses],
        sum(part.n_mixed_up for part in rounds),
        sum(part.cpu_seconds for part in rounds),
    )


# -- a soak ----------------------------------------------------------------------------------------


def _print_soak(options: argparse.Namespace, server: "Served", peak: float) -> int:
    """Print a soak; return how many responses were lost or belong to another request."""
    rate = options.share * peak
    print(
        f"\n{server.name}: {options.soak:g} minutes at {rate:.1f} requests/s, {options.share:.0%} "
        f"of {peak:.1f}\n\n| | memory | {_COLUMNS} |\n{'|---' * 9}|",
        flush=True,
    )
    names = ("first third", "middle third", "last third")
    rounds, memory = [], []
    with _server(server, options.model) as (process, port):
        body = _BODIES[options.input]
        asyncio.run(_load(port, 8, body, 64, 30.0))  # warms up
        memory.append(_resident_megabytes(process.pid))
        print(f"| beginning | {memory[0]:.0f} MB {'| ' * 7}|", flush=True)
        for name in names:
            seconds = options.soak * 60 / len(names)
            rounds.append(asyncio.run(_paced(port, rate, seconds, body, process.pid)))
            memory.append(_resident_megabytes(process.pid))
            print(f"| {name} | {memory[-1]:.0f} MB | {rounds[-1]} |", flush=True)
    print(f"| whole | {memory[-1] - memory[0]:+.0f} MB | {_joined(rounds)} |", flush=True)
    return sum(one.n_lost + one.n_mixed_up for one in rounds)


async def _paced(port: int, rate: float, seconds: float, body: "Body", pid: int) -> Round:
    """Send requests at a constant rate, over as many connections as that takes."""
    result = Round()
    cpu_before = _cpu_seconds(pid)
    idle: list[_Connection] = []
    sending: set[asyncio.Task[None]] = set()
    start = time.perf_counter()

    async def send(number: int, due: float) -> None:
        connection = idle.pop() if idle else _Connection(port)
        await connection.send(number, body, result, due)
        idle.append(connection)

    async def report() -> None:
        while True:
            await asyncio.sleep(60)
            found = f"{len(result.statuses)} requests, {_resident_megabytes(pid):.1f} MB"
            sys.stderr.write(f"{time.perf_counter() - start:.0f} s: {found}\n")

    reporting = asyncio.ensure_future(report())
    for number in range(round(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.ensure_future(send(number, due))
        sending.add(task)
        task.add_done_callback(sending.discard)
    await asyncio.gather(*sending)
    reporting.cancel()
    for connection in idle:
        connection.close()
    result.cpu_seconds = _cpu_seconds(pid) - cpu_before
    result.seconds = time.perf_counter() - start
    return result


# -- a server that is stopped ----------------------------------------------------------------------


def _print_stops(options: argparse.Namespace, server: "Served", n_clients: int) -> int:
    """Print what becomes of requests when a server is stopped; return how many were lost."""
    print(
        f"\n{server.name}: SIGTERM while {n_clients} clients send\n\n| | sent before: predicted | "
        "refused | lost | sent after: predicted | refused | not taken | until its end | exit code |"
        "\n|---|---|---|---|---|---|---|---|---|",
        flush=True,
    )
    n_lost = 0
    for number in range(1, options.stops + 1):
        with _server(server, options.model) as (process, port):
            stop = functools.partial(process.send_signal, signal.SIGTERM)
            load = _stopped(port, n_clients, _BODIES[options.input], stop)
            before, after = asyncio.run(load)
            start = time.perf_counter()
            code = process.wait(60)
            seconds = time.perf_counter() - start
        n_lost += before.n_lost + before.n_mixed_up + after.n_mixed_up
        cells = [
            f"{len(part.latencies)} | {len(part.statuses) - len(part.latencies) - part.n_lost} | "
            f"{part.n_lost}"
            for part in (before, after)
        ]
        print(f"| {number} | {' | '.join(cells)} | {seconds:.1f} s | {code} |", flush=True)
    return n_lost


async def _stopped(
    port: int, n_clients: int, body: "Body", stop: Callable[[], None]
) -> tuple[Round, Round]:
    """Return what became of requests that were sent before the signal, and after it.

    Each client sends one after another until one of those after the signal is not predicted.
    """
    before, after = Round(), Round()
    signaled = asyncio.Event()
    numbers = itertools.count()

    async def client() -> None:
        connection = _Connection(port)
        while True:
            result = after if signaled.is_set() else before
            seconds = await connection.send(next(numbers), body, result)
            if seconds is not None and signaled.is_set():
                return
            await asyncio.sleep(min(seconds or 0.0, _RETRY_SECONDS))

    clients = [asyncio.ensure_future(client()) for _ in range(n_clients)]
    await asyncio.sleep(_STOPPED_AFTER)
    stop()
    signaled.set()
    await asyncio.gather(*clients)
    return before, after


def _resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process and of those that it has started."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    own = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    return own + sum(map(_resident_megabytes, _children(pid)))


def _children(pid: int) -> list[int]:
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in started]


# -- a timeline whose client leaves ----------------------------------------------------------------


def _print_dropped(options: argparse.Namespace, servers: Sequence["Served"]) -> None:
    latencies: dict[Served, list[float]] = {}
    for _, server in itertools.product(range(options.rounds), servers):
        with _server(server, options.model) as (process, port):
            used = _dropped(process.pid, port, options.dropped_minutes)
            latencies.setdefault(server, []).append(used)
    for server, seconds in latencies.items():
        median = statistics.median(seconds)
        print(f"{server.name}: {median:.2f} CPU s after a dropped timeline ({seconds})")


# -- the server and its clients --------------------------------------------------------------------


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
    """Send one request after another."""
    connection = _Connection(port)
    for number in numbers:
        if time.perf_counter() > until:
            break
        seconds = await connection.send(number, body, result)
        if seconds is not None:
            await asyncio.sleep(max(0.0, min(seconds, until - time.perf_counter())))
    connection.close()


class _Connection:
    """A connection that is opened again, from another address, after some requests."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._n_sent = 0
        self._used_at = 0.0

    async def send(
        self, number: int, body: Body, result: Round, due: float | None = None
    ) -> float | None:
        """Send a request, and count its response.

        Args:
            number: of the request, to which its response has to belong.
            body: returns the content of a request.
            result: of the round.
            due: time from which its latency counts; by default now.

        Returns:
            None if the response is a prediction; else the seconds after which to send again.
        """
        kind, content = body(number)
        start = time.perf_counter() if due is None else due
        status, answer, retry_seconds, closes = _LOST, b"", _RETRY_SECONDS, True
        with suppress(OSError, asyncio.IncompleteReadError):
            status, answer, retry_seconds, closes = await _post(
                *await self._opened(), kind, content
            )
        self._n_sent += 1
        self._used_at = time.perf_counter()
        result.statuses.append(status)
        if closes:
            self.close()
        if status != 200:
            return retry_seconds
        result.latencies.append(1000 * (time.perf_counter() - start))
        result.n_mixed_up += not _is_of(number, json.loads(answer))
        return None

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._n_sent == _PER_ADDRESS or time.perf_counter() - self._used_at > _KEPT_SECONDS:
            self.close()
        if self._streams is None:
            at = (next(_addresses), 0)
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, local_addr=at)
            self._n_sent = 0
        return self._streams

    def close(self) -> None:
        """Close the connection, if it is open."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: str, body: bytes
) -> tuple[int, bytes, float, bool]:
    """Send a request.

    Returns:
        Status and body of the response, the seconds of its ``Retry-After``, and whether the
        connection is closed.
    """
    writer.write(_head("predict", kind, len(body)) + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    content = await reader.readexactly(int(_header(head, b"content-length") or 0))
    retry_seconds = float(_header(head, b"retry-after") or _RETRY_SECONDS)
    return int(head.split()[1]), content, retry_seconds, _header(head, b"connection") == b"close"


def _header(head: bytes, name: bytes) -> bytes:
    return head.partition(b"\r\n" + name + b":")[2].split(b"\r\n")[0].strip()


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
    """Of a process and of those that it has started, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(map(_cpu_seconds, _children(pid)))


if __name__ == "__main__":
    main()
