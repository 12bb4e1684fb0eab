"""Sizes, lengths, rates and times: a request beyond a limit is refused, and nothing of it kept."""

import asyncio
import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import pytest
from starlette.requests import Request

from emo_fairseq.serving.clients import TokenBuckets
from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import read_body

FORM = "multipart/form-data; boundary=b"


def talk(port, *pieces, path="/api/predict", wait=0.0, **headers):
    """Send raw bytes to a port; the answer's status, and its text. Stops sending once answered."""
    head = {"Host": f"127.0.0.1:{port}", "Content-Type": FORM, **headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{n.replace('_', '-')}: {v}" for n, v in head.items())]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        sent = 0
        try:
            for piece in ["\r\n".join([*lines, "", ""]).encode(), *pieces]:
                connection.sendall(piece)
                sent += len(piece)
                time.sleep(wait)
        except OSError:
            pass  # hung up on, with an answer before
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
                if b"}" in more:
                    break
        except OSError:
            pass
    return int(answer.split()[1]), answer.decode(), sent


def chunk(content):
    return b"%x\r\n%s\r\n" % (len(content), content)


def test_a_large_body_is_refused_whatever_its_declared_length(serve, client):
    with serve(upload_bytes=100_000) as port:
        # Declared: refused before a byte of it is read.
        assert talk(port, Content_Length=100_001)[0] == 413
        assert talk(port, Content_Length="9" * 200)[0] in (400, 413)
        assert talk(port, Content_Length="-1")[0] == 400
        # Not declared: refused at the limit, though no end comes.
        endless = [chunk(bytes(100_000))] * 400
        status, answer, sent = talk(port, *endless, Transfer_Encoding="chunked")
        assert (status, "body-too-large" in answer) == (413, True)
        assert sent < 20_000_000  # 5 MB after the refusal, and what the buffers of sockets hold
        # Declared shorter than it is: what comes after belongs to no request.
        assert talk(port, bytes(200_000), Content_Length="10")[0] == 400
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).status_code == 200


def test_json_is_limited_to_the_size_of_a_text(make_client):
    client = make_client(text_characters=100)
    padded = b'{"text": "a"' + b" " * 10_000 + b"}"
    as_json = {"Content-Type": "application/json"}
    refused = client.post("/api/explain", content=padded, headers=as_json)
    assert refused.status_code == 413
    # A prediction may have audio in it: there the number of values is limited.
    many = b'{"inputs": [' + b"{}," * 20_000 + b"{}]}"
    refused = client.post("/api/predict", content=many, headers=as_json)
    assert (refused.status_code, refused.json()["code"]) == (413, "rows-too-many")


def claim_samples(flac, n_samples):
    """A FLAC file whose header declares so many samples."""
    facts = int.from_bytes(flac[18:26], "big") >> 36 << 36
    return flac[:18] + (facts | n_samples).to_bytes(8, "big") + flac[26:]


def test_long_audio_is_refused_by_its_header_or_while_it_is_decoded(
    make_client, hum, encode, monkeypatch
):
    client = make_client(audio_seconds=2.0)
    assert client.post("/api/predict", files={"audio": encode(hum(2))}).status_code == 200
    flac = encode(hum(1), kind="FLAC")
    said_to_be_unknown = claim_samples(encode(hum(60), kind="FLAC"), 0)
    for long in (encode(hum(2.1)), said_to_be_unknown):
        refused = client.post("/api/predict", files={"audio": long})
        assert (refused.status_code, refused.json()["code"]) == (413, "audio-too-long")

    def never(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr("data_prep.audio.decoding.SoundfileReader.read", never)
    bomb = claim_samples(flac, 16_000 * 3600 * 24)
    refused = client.post("/api/predict", files={"audio": bomb})
    assert (refused.status_code, refused.json()["code"]) == (413, "audio-too-long")


def test_computation_on_long_audio_is_limited(make_client, hum, encode):
    client = make_client(segments=10, explained_seconds=1.5)
    files = {"audio": encode(hum(4))}
    hops = {"window_seconds": "0.3", "hop_seconds": "0.3"}
    refused = client.post("/api/timeline", files=files, data=hops)
    assert (refused.status_code, refused.json()["code"]) == (422, "windows-too-many")
    hops = {"window_seconds": "4", "hop_seconds": "0.45"}
    refused = client.post("/api/timeline", files=files, data=hops)
    assert (refused.status_code, refused.json()["code"]) == (422, "hop-too-short")
    refused = client.post("/api/explain", files=files)
    assert (refused.status_code, refused.json()["code"]) == (422, "explanation-too-long")
    part = client.post("/api/explain", files=files, data={"start": "2", "end": "3"})
    assert part.json()["intervals"][-1]["end"] == 3
    beyond = client.post("/api/explain", files=files, data={"start": "5"})
    assert (beyond.status_code, beyond.json()["code"]) == (400, "segment-empty")


def test_a_client_has_a_rate(make_client):
    client = make_client(requests_per_second=0.001, burst=3)
    statuses = [client.post("/api/predict", json={"text": "a day"}).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = client.post("/api/predict", json={"text": "a day"})
    assert 900 <= int(refused.headers["Retry-After"]) <= 1000
    assert refused.json()["code"] == "rate-exceeded"
    assert client.get("/").status_code == 200


def test_buckets_fill_again_and_are_one_for_a_network_of_version_6():
    now = 0.0
    buckets = TokenBuckets(per_second=2.0, burst=2, clock=lambda: now)
    assert [buckets.take("::1"), buckets.take("::2"), buckets.take("::3")] == [0.0, 0.0, 0.5]
    assert buckets.take("1:2:3:4::") == 0.0
    now = 0.6
    assert [buckets.take("::1"), buckets.take("::1")] == [0.0, pytest.approx(0.4)]
    now = 99.0
    assert [buckets.take("::1") for _ in range(3)] == [0.0, 0.0, 0.5]


@pytest.fixture
def blocked(predictor, monkeypatch):
    """The model does not answer until this event is set; counts who waits in it."""
    release, entered, forward = threading.Event(), threading.Semaphore(0), predictor.engine.forward

    def wait(net_input):
        entered.release()
        assert release.wait(20)
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", wait)
    yield release, entered
    release.set()


def ask(port, client="127.0.0.1"):
    with httpx.Client(
        transport=httpx.HTTPTransport(local_address=client, verify=False), timeout=30
    ) as asking:
        return asking.post(f"http://127.0.0.1:{port}/api/predict", json={"text": "a day"})


def first_of(asked, n_answers):
    return [a.result() for a in itertools.islice(as_completed(asked, timeout=20), n_answers)]


def test_requests_do_not_accumulate_and_one_client_leaves_capacity_to_others(serve, blocked):
    release, entered = blocked
    with serve(threads=1, waiting=3) as port, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, port) for _ in range(4)]
        entered.acquire(timeout=20)
        refused = first_of(asked, 2)  # half of four places are one client's
        assert [answer.status_code for answer in refused] == [429, 429]
        assert refused[0].json()["code"] == "client-busy"
        assert int(refused[0].headers["Retry-After"]) >= 1
        others = [pool.submit(ask, port, f"127.0.0.{number}") for number in (2, 3, 4)]
        (refused_too,) = first_of(others, 1)
        assert refused_too.status_code == 503
        assert int(refused_too.headers["Retry-After"]) >= 1
        assert refused_too.json()["code"] == "server-busy"
        # The page and its health are answered meanwhile: the model is not on the event loop.
        assert httpx.get(f"http://127.0.0.1:{port}/healthz", verify=False).status_code == 200
        release.set()
        statuses = [answer.result().status_code for answer in asked + others]
        assert sorted(statuses) == [200, 200, 200, 200, 429, 429, 503]
        assert ask(port).status_code == 200


def test_slow_computation_is_stopped_and_counts_until_it_ends(serve, blocked):
    release, _ = blocked
    with serve(threads=1, waiting=3, answer_seconds=0.3) as port:
        given_up = [ask(port), ask(port)]
        assert [answer.status_code for answer in given_up] == [503, 503]
        assert given_up[0].json()["code"] == "computation-timeout"
        release.set()
        deadline = time.monotonic() + 20
        while (answer := ask(port)).status_code != 200:
            assert time.monotonic() < deadline
        assert answer.json()["label"]


def test_a_slow_body_is_refused(serve):
    with serve(body_grace_seconds=0.3, body_bytes_per_second=1000.0) as port:
        drops = [b"x"] * 10
        status, answer, _ = talk(port, *drops, wait=0.1, Content_Length="1000")
        assert (status, "body-timeout" in answer) == (408, True)
        assert ask(port).status_code == 200


class VirtualTime(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on at once to the next moment that something waits for."""

    def __init__(self):
        super().__init__()
        self._now, select = 0.0, self._selector.select

        def go_on(timeout):
            self._now += timeout or 0.0
            return select(0)

        self._selector.select = go_on

    def time(self):
        return self._now


@pytest.mark.parametrize(
    ("seconds", "body_seconds", "is_read"),
    [(0.2, 60.0, True), (0.23, 60.0, False), (0.2, 0.9, False)],
    ids=["at the least rate", "slower", "at the rate, but too long"],
)
def test_a_body_has_a_rate_and_an_end(seconds, body_seconds, is_read):
    """Five pieces of 2 kB, so many seconds apart; 10 kB a second and 0.3 seconds are granted."""
    pieces = iter(range(5))

    async def receive():
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": bytes(2000), "more_body": next(pieces) < 4}

    limits = Limits(
        body_grace_seconds=0.3, body_bytes_per_second=10_000.0, body_seconds=body_seconds
    )
    reading = read_body(Request({"type": "http"}, receive), 10_000, limits)
    with asyncio.Runner(loop_factory=VirtualTime) as runner:
        if is_read:
            assert len(runner.run(reading)) == 10_000
            return
        with pytest.raises(HttpError) as refused:
            runner.run(reading)
    assert (refused.value.status, refused.value.code) == (408, "body-timeout")
