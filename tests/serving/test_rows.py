"""Several recordings and texts in one request, and concurrent requests in one batch."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from queue_meter import PATIENCE

from emo_fairseq.errors import UsageError
from emo_fairseq.serving import concurrency
from emo_fairseq.serving.api import Api, Request
from emo_fairseq.serving.endpoints import ENDPOINTS
from emo_fairseq.serving.limits import Limits

TEXTS = ["what a lovely day", "no", "one more sad day, number five"]


def in_base64(content):
    return base64.b64encode(content).decode("ascii")


def assert_close(found, expected):
    """Compare predictions, of which the numbers may differ by rounding."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_close(found[name], value)
        elif isinstance(value, float):
            assert found[name] == pytest.approx(value, abs=1e-5)
        else:
            assert found[name] == value, name


@pytest.fixture(scope="module")
def files(hum, encode):
    return [encode(hum(seconds), kind="FLAC") for seconds in (0.7, 2.4, 1.1)]


@pytest.fixture(scope="module")
def alone(client):
    """Return the response for an input that is sent by itself."""

    def post(file=None, text=None):
        parts = {} if file is None else {"audio": file}
        parts |= {} if text is None else {"text": (None, text)}
        response = client.post("/api/predict", files=parts)
        assert response.status_code == 200, response.text
        return response.json()

    return post


def test_rows_of_json_are_predicted_as_alone_and_keep_their_order(client, files, alone):
    inputs = [
        {"text": TEXTS[0]},
        {"audio": in_base64(files[1])},
        {"audio": in_base64(files[0]), "text": TEXTS[1]},
        {"audio": in_base64(files[2]), "text": " "},
    ]
    answer = client.post("/api/predict", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    expected = [
        alone(text=TEXTS[0]),
        alone(files[1]),
        alone(files[0], TEXTS[1]),
        alone(files[2]),
    ]
    found = answer.json()["predictions"]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)


def test_rows_of_a_form_are_recordings_with_their_texts(client, files, alone):
    recordings = [("recordings", file) for file in files]
    answer = client.post("/api/predict", files=recordings)
    for one, file in zip(answer.json()["predictions"], files, strict=True):
        assert_close(one, alone(file))
    texts = [("texts", (None, text)) for text in (TEXTS[0], "", TEXTS[2])]
    answer = client.post("/api/predict", files=[*recordings, *texts])
    both = [alone(files[0], TEXTS[0]), alone(files[1]), alone(files[2], TEXTS[2])]
    for one, other in zip(answer.json()["predictions"], both, strict=True):
        assert_close(one, other)
    answer = client.post("/api/predict", files=texts[:1] + texts[2:])
    for one, text in zip(answer.json()["predictions"], (TEXTS[0], TEXTS[2]), strict=True):
        assert_close(one, alone(text=text))


def test_a_single_recording_may_be_sent_as_json(client, files, alone):
    answer = client.post("/api/predict", json={"audio": in_base64(files[0]), "embedding": True})
    found = answer.json()
    assert len(found.pop("embedding")) > 1
    assert_close(found, alone(files[0]))


def test_the_error_of_a_row_keeps_its_place(client, files, alone, encode):
    inputs = [
        {"text": TEXTS[0]},
        {"audio": "not base64!"},
        {"audio": in_base64(b"RIFF" + bytes(50))},
        {"audio": ""},
        {},
        {"text": 5},
        {"text": "a\u0000b"},
        {"words": "a"},
        ["text"],
        {"text": "x" * 6000},
        {"audio": in_base64(encode(np.zeros((4000, 33), np.float32)))},
        {"audio": in_base64(files[2])},
    ]
    answer = client.post("/api/predict", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    first, *failed, last = answer.json()["predictions"]
    assert_close(first, alone(text=TEXTS[0]))
    assert_close(last, alone(files[2]))
    assert [row.get("code") for row in failed] == [
        "audio-not-base64",
        "audio-format-unknown",
        "audio-empty",
        "input-missing",
        "field-not-string",
        "text-control-characters",
        "field-unknown",
        "json-not-object",
        "text-too-long",
        "audio-channels",
    ]
    assert all(row["error"].endswith(".") for row in failed)


def test_the_audio_of_all_rows_is_limited(make_client, hum, encode):
    client = make_client(audio_seconds=2.0)
    rows = [encode(hum(seconds)) for seconds in (1.2, 1.2, 0.7, 0.3)]
    answer = client.post("/api/predict", files=[("recordings", row) for row in rows])
    codes = [row.get("code") for row in answer.json()["predictions"]]
    assert codes == [None, "audio-too-long", None, "audio-too-long"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"inputs": []}, 400, "field-not-list"),
        ({"inputs": {"text": "a"}}, 400, "field-not-list"),
        ({"inputs": "a"}, 400, "field-not-list"),
        ({"inputs": None}, 400, "field-not-list"),
        ({"inputs": [{"text": "a"}] * 6}, 413, "rows-too-many"),
        ({"inputs": [{"text": "a"}], "text": "b"}, 400, "rows-ambiguous"),
        ({"inputs": [{"text": "a"}], "texts": ["b"]}, 400, "rows-ambiguous"),
        ({"audio": 5}, 400, "audio-in-json"),
        ({"audio": "é"}, 400, "audio-not-base64"),
    ],
)
def test_malformed_rows_are_refused(make_client, content, status, code):
    answer = make_client(rows=5).post("/api/predict", json=content)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_malformed_forms_of_rows_are_refused(make_client, files):
    client = make_client(rows=3)
    recordings = [("recordings", file) for file in files]
    text = ("texts", (None, "a day"))
    for parts, code in (
        ([*recordings, recordings[0]], "rows-too-many"),
        ([*recordings, *[text] * 2], "rows-unequal"),
        ([*recordings, ("audio", files[0])], "rows-ambiguous"),
        ([text] * 40, "multipart-invalid"),
        ([("inputs", (None, "[]"))], "field-not-list"),
    ):
        answer = client.post("/api/predict", files=parts)
        assert answer.status_code in (400, 413)
        assert answer.json()["code"] == code
    # Rows are of predictions alone.
    answer = client.post("/api/explain", json={"inputs": [{"text": "a"}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "field-unknown")


def test_a_row_that_the_model_fails_on_fails_alone(client, predictor, monkeypatch, alone):
    expected = [alone(text=text) for text in TEXTS]
    predict_items = predictor.predict_items

    def fail(items, *args, **kwargs):
        for word, error in (("poison", UsageError("NaN")), ("bug", RuntimeError("a secret"))):
            if any(word in item.text for item in items):
                raise error
        return predict_items(items, *args, **kwargs)

    monkeypatch.setattr(predictor, "predict_items", fail)
    texts = [TEXTS[0], "poison", TEXTS[1], "bug", TEXTS[2]]
    answer = client.post("/api/predict", json={"inputs": [{"text": text} for text in texts]})
    found = answer.json()["predictions"]
    for row, other in zip((0, 2, 4), expected, strict=True):
        assert_close(found[row], other)
    assert [found[row]["code"] for row in (1, 3)] == ["input-unusable", "internal-error"]
    assert "secret" not in answer.text


# -- concurrent requests ---------------------------------------------------------------------------


def test_concurrent_recordings_are_one_batch_with_the_results_of_single_ones(
    predictor, monkeypatch, hum, encode, serve, alone
):
    lengths = [1.1, 1.2, 1.05, 1.15, 1.08, 1.18]  # of one batch: 2 ** 14 to 2 ** 14.25 samples
    files = [encode(hum(seconds)) for seconds in lengths]
    expected = [alone(file) for file in files]
    sizes, forward = [], predictor.engine.forward

    def count(net_input):
        output = forward(net_input)
        sizes.append(len(output.logits))
        return output

    monkeypatch.setattr(predictor.engine, "forward", count)

    def post(file):
        return httpx.post(
            f"http://127.0.0.1:{port}/api/predict", files={"audio": file}, timeout=90, verify=False
        )

    limits = {"threads": 1, "batch": len(files), "batch_wait_seconds": 60.0, "waiting": 100}
    with serve(**limits) as port, ThreadPoolExecutor(len(files)) as pool:
        start = time.monotonic()
        answers = list(pool.map(post, files))
        assert time.monotonic() - start < 60  # a full batch waits no longer
        found = [answer.json() for answer in answers]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
    assert sizes == [len(files)]


class Clock:
    """Time that passes while a batch waits: until the next request arrives, or to its end."""

    def __init__(self, *arrivals):
        self._now, self._arrivals, self.waits = 0.0, list(arrivals), []

    def monotonic(self):
        return self._now

    def wait(self, seconds):
        self.waits.append(seconds)
        is_notified = bool(self._arrivals) and self._arrivals[0] < self._now + seconds
        self._now = self._arrivals.pop(0) if is_notified else self._now + seconds
        return is_notified


def test_a_batch_waits_no_longer_than_the_limit(monkeypatch):
    """Counted from its oldest request, however many arrive."""
    clock = Clock(0.125, 0.25)
    monkeypatch.setattr(concurrency, "time", clock)
    workers = concurrency.Workers(n_threads=1, batch_size=4, wait_seconds=0.5)
    monkeypatch.setattr(workers._changed, "wait", clock.wait)
    job = concurrency.Job(lambda contents, _: contents, "a", batch_key="texts")
    workers.submit(job)
    assert job.result.result(PATIENCE) == "a"
    assert clock.waits == [0.5, 0.375, 0.25]
    workers.close()


def test_recordings_of_very_different_lengths_are_no_batch(hum, encode, predictor):
    api = Api(predictor, Limits())

    def key(seconds, **more):
        fields = {"audio": encode(hum(seconds)), **more}
        return api.preprocess(ENDPOINTS["predict"], Request(fields)).batch_key

    assert key(1.1) == key(1.2)
    assert key(1.1) != key(1.4)
    assert key(20.0) == key(22.0)
    assert key(1.1) != key(1.1, text="with a text, whose tokens it would lack")
    assert key(31) is None  # long ones are decoded when they are computed


def test_rows_of_very_different_lengths_are_not_computed_as_long_as_the_longest(
    client, predictor, monkeypatch, hum, encode, alone
):
    files = [encode(hum(seconds)) for seconds in (2.9, 0.5, 3.0, 0.5)]
    expected = [alone(file) for file in files]
    lengths, forward = [], predictor.engine.forward

    def note(net_input):
        lengths.append(net_input["speech"]["frames"].shape[:2])
        return forward(net_input)

    monkeypatch.setattr(predictor.engine, "forward", note)
    answer = client.post("/api/predict", files=[("recordings", file) for file in files])
    for one, other in zip(answer.json()["predictions"], expected, strict=True):
        assert_close(one, other)
    assert lengths == [(2, 298), (2, 48)]
