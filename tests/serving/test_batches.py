"""Texts that arrive together are predicted in a batch, and each gets its own prediction."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from queue_meter import PATIENCE, QueueMeter

from emo_fairseq.errors import UsageError

TEXTS = [f"{word} day, number {n}" for n in range(8) for word in ("what a", "one more sad", "no")]


@pytest.fixture
def gathered(predictor, monkeypatch):
    """The model computes nothing until this event is set; the sizes of its batches."""
    release, sizes, forward = threading.Event(), [], predictor.engine.forward

    def wait(net_input):
        assert release.wait(PATIENCE)
        output = forward(net_input)
        sizes.append(len(output.logits))
        return output

    monkeypatch.setattr(predictor.engine, "forward", wait)
    yield release, sizes
    release.set()


@pytest.fixture
def meter():
    return QueueMeter()


def post(port, text, client="127.0.0.1", name="predict"):
    transport = httpx.HTTPTransport(local_address=client, verify=False)
    with httpx.Client(transport=transport, timeout=PATIENCE) as posting:
        return posting.post(f"http://127.0.0.1:{port}/api/{name}", json={"text": text})


def test_each_text_gets_the_prediction_that_it_gets_alone(serve, predictor, gathered, meter):
    release, sizes = gathered
    limits = {"options": {"meter": meter}, "threads": 1, "batch": 16}
    with serve(**limits) as port, ThreadPoolExecutor(len(TEXTS)) as pool:
        asked = [pool.submit(post, port, TEXTS[0])]
        meter.wait_for(begun=1)
        asked += [pool.submit(post, port, text) for text in TEXTS[1:]]
        meter.wait_for(begun=1, waiting=len(TEXTS) - 1)
        release.set()
        answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200] * len(TEXTS)
    assert sizes == [1, 16, len(TEXTS) - 17]
    for text, answer in zip(TEXTS, answers, strict=True):
        alone, found = predictor.predict(text=text).as_dict(), answer.json()
        assert found["text"] == alone["text"]
        assert found["label"] == alone["label"]
        assert found["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)
        assert found["auxiliary"]["vad"] == pytest.approx(alone["auxiliary"]["vad"], abs=1e-5)


def test_a_text_that_fails_fails_alone(serve, predictor, monkeypatch, gathered, meter):
    release, _ = gathered
    predict_items = predictor.predict_items

    def fail(items, *args, **kwargs):
        if any("poison" in item.text for item in items):
            raise UsageError("the model's output is NaN")
        return predict_items(items, *args, **kwargs)

    monkeypatch.setattr(predictor, "predict_items", fail)
    options = {"meter": meter}
    with serve(threads=1, options=options) as port, ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(post, port, "first")]
        meter.wait_for(begun=1)
        texts = ["good", "poison", "better", " \x7f ", "best"]
        asked += [pool.submit(post, port, text) for text in texts]
        meter.wait_for(begun=1, waiting=4)
        release.set()
        statuses = [future.result().status_code for future in asked]
    assert statuses == [200, 200, 422, 200, 400, 200]


def test_a_request_that_waits_too_long_is_refused(serve, gathered, meter):
    release, sizes = gathered
    limits = {"options": {"meter": meter}, "threads": 1, "waiting_seconds": 0.5, "batch": 1}
    with serve(**limits) as port, ThreadPoolExecutor(3) as pool:
        first = pool.submit(post, port, "first")
        meter.wait_for(begun=1)
        asked = [pool.submit(post, port, text) for text in ("second", "third")]
        refused = [future.result() for future in asked]
        assert [answer.status_code for answer in refused] == [503, 503]
        assert refused[0].json()["code"] == "waiting-timeout"
        assert int(refused[0].headers["Retry-After"]) >= 1
        release.set()
        assert first.result().status_code == 200
        assert post(port, "last").status_code == 200
    assert len(sizes) == 2  # the refused were not computed


def test_the_sum_of_all_bodies_is_limited(serve, gathered, meter):
    release, _ = gathered
    limits = {"options": {"meter": meter}, "threads": 2, "held_bytes": 10_000}
    with serve(**limits) as port, ThreadPoolExecutor(4) as pool:
        large = "a " * 2000
        asked = [pool.submit(post, port, large)]
        meter.wait_for(begun=1)
        refused = post(port, large)
        assert (refused.status_code, refused.json()["code"]) == (429, "client-busy")
        asked.append(pool.submit(post, port, large, "127.0.0.2"))
        meter.wait_for(begun=2)
        refused = post(port, large, "127.0.0.3")
        assert (refused.status_code, refused.json()["code"]) == (503, "server-busy")
        release.set()
        assert [future.result().status_code for future in asked] == [200, 200]
        assert post(port, large, "127.0.0.3").status_code == 200
