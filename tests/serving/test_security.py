"""Requests that other pages make a browser send are refused."""

import pytest
from starlette.testclient import TestClient

from emo_fairseq.serving.app import create_app

OURS = "127.0.0.1:8000"
POSTS = [
    # host, headers, status
    (OURS, {}, 200),
    (OURS, {"Origin": f"http://{OURS}", "Sec-Fetch-Site": "same-origin"}, 200),
    ("localhost:8000", {"Origin": "http://localhost:8000"}, 200),
    ("[::1]:8000", {"Origin": "http://[::1]:8000"}, 200),
    ("192.168.1.7", {"Origin": "http://192.168.1.7"}, 200),
    ("models.lan", {"Origin": "https://models.lan"}, 200),  # behind a proxy, by its --allow-host
    (OURS, {"Origin": "http://evil.example"}, 403),
    (OURS, {"Origin": "http://127.0.0.1:9999"}, 403),
    (OURS, {"Origin": "http://localhost:8000"}, 403),
    (OURS, {"Origin": "null"}, 403),
    (OURS, {"Origin": ""}, 403),
    (OURS, {"Origin": "http://[::1"}, 403),
    (OURS, {"Sec-Fetch-Site": "cross-site"}, 403),
    (OURS, {"Sec-Fetch-Site": "same-site"}, 403),
    ("evil.example", {}, 421),  # a name that was rebound to this address
    ("evil.example:8000", {"Origin": "http://evil.example:8000"}, 421),
    ("127.0.0.1.evil.example", {}, 421),
    ("localhost.evil.example", {}, 421),
    ("localhost@evil.example", {}, 421),
    ("", {}, 421),
]


@pytest.fixture(scope="module")
def client(predictor):
    return TestClient(create_app(predictor, hosts=["models.lan"]), base_url=f"http://{OURS}")


@pytest.mark.parametrize(("host", "headers", "status"), POSTS)
def test_posts(client, host, headers, status):
    answer = client.post("/api/predict", json={"text": "a day"}, headers={"Host": host, **headers})
    assert answer.status_code == status, answer.text
    assert ("error" in answer.json()) == (status != 200)
    assert "access-control-allow-origin" not in answer.headers


def test_a_rebound_name_gets_neither_page_nor_model(client):
    for path in ("/", "/static/page.js", "/api/model", "/healthz"):
        assert client.get(path, headers={"Host": "evil.example"}).status_code == 421
    # A link on another page may open ours; a script on it may not ask.
    linked = {"Sec-Fetch-Site": "cross-site"}
    assert client.get("/", headers=linked).status_code == 200
    assert client.get("/api/model", headers=linked).status_code == 403
