"""Ids, the access log and the metrics of requests."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from emo_fairseq.serving.access_log import AccessLog
from emo_fairseq.serving.metrics import PrometheusMeter

TEXT = "nobody should read this"
NEW = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def logged(make_app, tmp_path):
    """Return a client, and a function that returns the lines of the access log."""
    file = tmp_path / "logs" / "access.jsonl"
    options = {"access_log": AccessLog(str(file)), "trusted_proxies": ["10.0.0.0/8"]}
    client = TestClient(
        make_app(options=options, burst=1000), base_url="http://127.0.0.1", client=("10.0.0.1", 9)
    )
    return client, lambda: [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_has_the_request_and_nothing_of_its_content(logged):
    client, lines = logged
    headers = {"X-Request-ID": "trace-1", "User-Agent": "tests", "X-Forwarded-For": "192.0.2.7"}
    answer = client.post(f"/api/predict?{TEXT}", json={"text": TEXT}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["X-Request-ID"] == "trace-1"
    (line,) = lines()
    assert set(line) == {
        *("time", "request_id", "client", "method", "path", "status", "seconds"),
        *("request_bytes", "response_bytes", "user_agent"),
    }
    assert (line["request_id"], line["client"], line["user_agent"]) == (
        "trace-1",
        "192.0.2.7",
        "tests",
    )
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/predict", 200)
    assert line["request_bytes"] == len(json.dumps({"text": TEXT}, separators=(",", ":")))
    assert line["response_bytes"] == len(answer.content)
    assert TEXT not in json.dumps(line)


@pytest.mark.parametrize(
    "given",
    [
        b'two\nlines {"status": 200}',
        b"a\r\nSet-Cookie: x=1",
        b"\x1b[31mred",
        b'"}{"',
        "ü".encode(),
        b"\xff\xfe",
        b"x" * 129,
        b" ",
        b"a b",
    ],
)
def test_an_id_that_could_forge_a_line_is_replaced(logged, given):
    client, lines = logged
    answer = client.get("/healthz", headers=[(b"X-Request-ID", given)])
    assert NEW.fullmatch(answer.headers["X-Request-ID"])
    (line,) = lines()
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert "set-cookie" not in answer.headers


def test_what_a_client_writes_stays_within_its_line(logged):
    client, lines = logged
    agent = b'\xff\r"}\n{"status": 200, "client": "forged"}' + b"x" * 500
    client.get("/no%0Aline%22%7D%7B", headers=[(b"User-Agent", agent)])
    (line,) = lines()
    assert (line["path"], line["status"]) == ('/no\nline"}{', 404)
    assert len(line["user_agent"]) == 300


def test_errors_have_the_id(logged, predictor, monkeypatch, caplog):
    client, lines = logged
    for request, status in (
        ({"url": "/nothing", "method": "GET"}, 404),
        ({"url": "/api/predict", "method": "POST", "json": {"text": 5}}, 400),
        ({"url": "/api/model", "method": "GET", "headers": {"Host": "evil.example"}}, 421),
    ):
        answer = client.request(**request)
        assert answer.status_code == status
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]

    def fail(_):
        raise RuntimeError("the cause")

    monkeypatch.setattr(predictor.engine, "forward", fail)
    headers = {"X-Request-ID": "trace-2"}
    answer = client.post("/api/predict", json={"text": TEXT}, headers=headers)
    assert (answer.status_code, answer.json()["request_id"]) == (500, "trace-2")
    assert "request trace-2 failed" in caplog.text
    assert "the cause" in caplog.text
    assert [line["status"] for line in lines()] == [404, 400, 421, 500]
    assert lines()[-1]["request_id"] == "trace-2"


def test_an_error_of_the_server_itself_is_a_response_with_id_and_headers(make_app, caplog):
    app = make_app()

    def fail():
        raise RuntimeError("the cause")

    app.add_api_route("/broken", fail)
    app.router.routes.insert(0, app.router.routes.pop())
    client = TestClient(app, base_url="http://127.0.0.1")
    answer = client.get("/broken", headers={"X-Request-ID": "trace-3"})
    assert (answer.status_code, answer.json()["request_id"]) == (500, "trace-3")
    assert "content-security-policy" in answer.headers
    assert "request trace-3 failed" in caplog.text


# -- metrics ---------------------------------------------------------------------------------------


@pytest.fixture
def measured(make_app):
    return TestClient(make_app(options={"meter": PrometheusMeter()}), base_url="http://127.0.0.1")


def samples(client):
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name.removeprefix("emo_fairseq_"), *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_metrics_count_requests_by_route_and_status(measured):
    for text in ("a day", "another", 5):
        measured.post("/api/predict", json={"text": text})
    for number in range(50):
        measured.get(f"/made/up/{number}")
        measured.get(f"/static/{number}.js")
    measured.request("BREW", "/healthz")
    found = samples(measured)
    assert found["http_requests_total", "/api/predict", "200", "POST"] == 2
    assert found["http_requests_total", "/api/predict", "400", "POST"] == 1
    assert found["http_requests_total", "", "404", "GET"] == 50
    assert found["http_requests_total", "/static", "404", "GET"] == 50
    assert any("OTHER" in name for name in found)
    assert not any("made" in part or "BREW" in part for name in found for part in name)
    assert found["http_request_duration_seconds_count", "/api/predict", "POST"] == 3
    assert found["batch_size_count",] == 2
    assert found["batch_size_sum",] == 2
    assert found["queue_length",] == 0
    assert found["http_requests_in_progress",] == 1  # that of the metrics


def test_there_are_no_metrics_without_a_meter(client):
    assert client.get("/metrics").status_code == 404
    assert "/metrics" not in client.get("/openapi.json").json()["paths"]
