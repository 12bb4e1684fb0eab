"""The API returns what the predictor predicts."""

import socket

import numpy as np
import pytest
from codes import raises
from starlette.testclient import TestClient

from emo_fairseq.inference.occlusion import explain
from emo_fairseq.inference.predictor import load_predictor
from emo_fairseq.serving.app import create_app
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.serve import bind, exposure, serve
from emo_fairseq.serving.server import ServerOptions

TEXT = "what a lovely day, “really”"


def test_predictions_are_the_predictors(client, predictor, hum, encode, tmp_path):
    stereo = np.stack([hum(1.2, 22_050), 0.5 * hum(1.2, 22_050)], axis=1)
    file = encode(stereo, 22_050, "FLAC")
    (tmp_path / "name.flac").write_bytes(file)
    for audio, text in [(True, TEXT), (True, None), (False, TEXT)]:
        answer = client.post(
            "/api/predict",
            files={"audio": ("name.exe", file)} if audio else {"text": (None, text)},
            data={"text": text or "", "embedding": "true"} if audio else {"embedding": "true"},
        )
        assert answer.status_code == 200, answer.text
        whole = predictor.predict(tmp_path / "name.flac" if audio else None, text)
        expected, found = whole.as_dict(embedding=True), answer.json()
        assert found == {**expected, "truncated": []}
    as_json = client.post("/api/predict", json={"text": TEXT}).json()
    assert as_json == {**predictor.predict(text=TEXT).as_dict(), "truncated": []}


def test_unusual_audio_is_predicted_with_a_warning(client, hum, encode):
    for samples, warning in (
        (0 * hum(1), "digital silence: every sample is 0"),
        (np.stack([hum(1), -hum(1)], axis=1), "channels in antiphase"),
    ):
        files = {"audio": encode(samples)}
        for endpoint in ("predict", "timeline", "explain"):
            warnings = client.post(f"/api/{endpoint}", files=files).json()["warnings"]
            about_audio = [found for found in warnings if not found.startswith("without text")]
            assert len(about_audio) == 1, warnings
            assert about_audio[0].startswith(warning), endpoint


def test_a_timeline_and_an_explanation_are_the_predictors(client, predictor, hum, encode):
    sound = hum(3.3)
    files = {"audio": encode(sound, subtype="FLOAT")}
    answer = client.post("/api/timeline", files=files, data={"window_seconds": 2, "hop_seconds": 1})
    segments = predictor.timeline(sound, window_seconds=2, hop_seconds=1, sample_rate=16_000)
    said = {"seconds": 3.3, "segments": [s.as_dict() for s in segments]}
    said |= {"warnings": [], "truncated": []}
    assert answer.json() == said
    assert len(segments) > 1

    answer = client.post("/api/explain", files=files, data={"text": TEXT, "start": 1, "end": 2})
    expected = explain(predictor, sound[16_000:32_000], TEXT, 16_000).as_dict(from_second=1)
    assert answer.json() == {**expected, "transcript": None, "warnings": [], "truncated": []}
    assert expected["intervals"][0]["start"] == 1
    assert [word["word"] for word in expected["words"]] == predictor.predict(text=TEXT).text.split()


def test_by_default_a_window_is_no_longer_than_the_model_reads(client, narrow, hum, encode):
    narrow(max_speech_seconds=3.0)
    answer = client.post("/api/timeline", files={"audio": encode(hum(6))})
    assert answer.status_code == 200, answer.text
    times = [(segment["start"], segment["end"]) for segment in answer.json()["segments"]]
    assert times == [(0, 3), (1.5, 4.5), (3, 6)]


def test_the_model_is_described(client, predictor, model_folder):
    found = client.get("/api/model").json()
    assert found["name"] == model_folder.name
    assert found["labels"] == list(predictor.labels)
    assert found["modalities"] == list(predictor.modalities)
    assert found["auxiliary"] == {"vad": ["valence", "arousal", "dominance"]}
    assert found["limits"]["upload_bytes"] == 25_000_000
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/docs/", 404),
        ("GET", "/redoc", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/%2e%2e/app.py", 404),
        ("GET", "/static/", 404),
        ("POST", "/api/predict/", 404),  # and not a redirection, which is no JSON
        ("GET", "/static", 404),
        ("GET", "/api/predict", 405),
        ("POST", "/healthz", 405),
        ("DELETE", "/", 405),
        ("POST", "/static/page.js", 405),
    ],
)
def test_wrong_addresses_are_errors(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"].endswith(".")
    assert answer.json()["code"] == {404: "address-unknown", 405: "method-not-allowed"}[status]


def test_the_page_may_load_nothing_from_elsewhere(client):
    page = client.get("/")
    assert client.head("/").status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    for answer in (page, client.get("/static/page.js"), client.get("/nothing")):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "//" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/page.js").headers["content-type"].startswith("text/javascript")


def test_audio_is_refused_by_a_model_of_text(trained_models, hum, encode):
    predictor = load_predictor(trained_models.folder("--modality text"), "cpu")
    client = TestClient(create_app(predictor), base_url="http://localhost:8000")
    assert client.get("/api/model").json()["modalities"] == ["text"]
    refused = client.post("/api/predict", files={"audio": encode(hum(1))})
    assert (refused.status_code, refused.json()["code"]) == (422, "modality-not-read")
    assert client.post("/api/predict", json={"text": TEXT}).status_code == 200
    empty = client.post("/api/predict", json={"text": " "})
    assert (empty.status_code, empty.json()["code"]) == (422, "input-missing")
    part = client.post("/api/explain", json={"text": TEXT, "start": 1})
    assert (part.status_code, part.json()["code"]) == (422, "audio-missing")


def test_a_failure_of_the_model_is_logged_and_not_shown(client, predictor, monkeypatch, caplog):
    def fail(_):
        raise RuntimeError("the secret of /home/somebody")

    monkeypatch.setattr(predictor.engine, "forward", fail)
    answer = client.post("/api/predict", json={"text": TEXT})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "the secret" in caplog.text


def test_bad_options_are_usage_errors(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with raises("port-out-of-range"):
        serve(tmp_path, ServerOptions(port=70000))
    with raises("checkpoint-missing"):
        serve(tmp_path / "none", ServerOptions(port=port))
    with raises("limit-not-positive"):
        Limits(threads=0)
    with raises("address-unusable"):
        serve(tmp_path, ServerOptions(host="192.0.2.1", port=port))  # of no machine
    assert "other machines" in exposure("0.0.0.0")


def test_a_name_is_served_at_each_of_its_addresses(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    of_name = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.1")  # a file of hosts may repeat one
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: of_name)
    bound = bind("name.example", port)
    try:
        assert [one.getsockname() for one in bound] == [("127.0.0.1", port), ("127.0.0.2", port)]
    finally:
        for one in bound:
            one.close()
