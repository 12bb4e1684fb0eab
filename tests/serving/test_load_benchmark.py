"""The benchmark of the service counts what is refused, lost and mixed up."""

import asyncio
import os

import pytest

from benchmarks import serving
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits


def test_requests_at_a_constant_rate_are_all_counted(serve):
    with serve() as port:
        load = serving._paced(port, 40.0, 0.5, serving._text, os.getpid())
        result = asyncio.run(load)
    assert result.statuses == [200] * 20
    assert len(result.latencies) == 20
    assert result.seconds >= 0.45
    assert (result.n_lost, result.n_mixed_up) == (0, 0)
    assert result.cpu_seconds > 0
    assert str(result).count("|") == serving._COLUMNS.count("|")


@pytest.mark.parametrize("body", [serving._text, serving._audio])
def test_a_response_to_another_request_is_counted(serve, body):
    with serve() as port:
        load = serving._load(port, 2, lambda number: body(number + 1), 6, 30.0)
        result = asyncio.run(load)
    assert result.statuses == [200] * 6
    assert result.n_mixed_up == 6


def test_a_request_without_a_response_is_lost():
    async def close(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def run():
        server = await asyncio.start_server(close, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        result = await serving._load(port, 1, serving._text, 3, 30.0)
        server.close()
        return result

    result = asyncio.run(run())
    assert (result.statuses, result.n_lost) == ([0, 0, 0], 3)


def test_no_request_is_lost_when_a_server_is_stopped(serve, monkeypatch):
    monkeypatch.setattr(serving, "_STOPPED_AFTER", 0.3)
    lifecycle = Lifecycle(Limits())
    with serve(options={"lifecycle": lifecycle}) as port:
        load = serving._stopped(port, 8, serving._audio, lifecycle.drain)
        before, after = asyncio.run(load)
    assert before.latencies
    assert (before.n_lost, before.n_mixed_up, after.n_mixed_up) == (0, 0, 0)
    assert len(before.statuses) + len(after.statuses) > len(before.latencies)


def test_the_memory_of_a_process_is_in_megabytes():
    assert 10 < serving._resident_megabytes(os.getpid()) < 100_000
