"""Clients of a server with tokens need one."""

import base64
import hmac
import json

import pytest
from codes import raises
from loudness import Loudness
from starlette.testclient import TestClient, WebSocketDenialResponse

from emo_fairseq.serving.live_protocol import SUBPROTOCOL
from emo_fairseq.serving.metrics import PrometheusMeter
from emo_fairseq.serving.serve import exposure
from emo_fairseq.serving.tokens import Tokens, read_tokens

TOKEN, OTHER = "0123456789abcdef-~+/", "fedcba9876543210"
TEXT = {"text": "a day"}


@pytest.fixture(scope="module")
def client(make_app):
    app = make_app(options={"tokens": [OTHER, TOKEN]}, make_voice=Loudness)
    return TestClient(app, base_url="http://127.0.0.1")


def bearer(token, scheme="Bearer"):
    return {"Authorization": f"{scheme} {token}"}


@pytest.mark.parametrize("token", [TOKEN, OTHER])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_each_token_is_accepted(client, token, scheme):
    assert client.post("/api/predict", json=TEXT, headers=bearer(token, scheme)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "token-missing"),
        ({"Authorization": "Basic MDEyMw=="}, "token-missing"),
        ({"Authorization": "Bearer"}, "token-missing"),
        ({"Authorization": "Bearer "}, "token-missing"),
        (bearer(TOKEN[:-1]), "token-unknown"),
        (bearer(TOKEN + "x"), "token-unknown"),
        (bearer(f"{TOKEN},{OTHER}"), "token-unknown"),
        ({"Authorization": "Bearer \xe9\xff".encode("latin-1")}, "token-unknown"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_token_or_none_is_refused(client, headers, code, method):
    path = {"GET": "/api/model", "POST": "/api/predict"}[method]
    answer = client.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="emo_fairseq"')
    assert ("invalid_token" in challenge) == (code == "token-unknown")


def test_the_page_its_health_and_its_description_need_none(client):
    for path in ("/", "/docs", "/static/page.js", "/healthz", "/readyz", "/openapi.json"):
        assert client.get(path).status_code == 200, path
    security = client.get("/openapi.json").json()["paths"]["/api/predict"]["post"]["security"]
    assert security == [{"token": []}]


def test_metrics_need_a_token(make_app):
    app = make_app(options={"tokens": [TOKEN], "meter": PrometheusMeter()})
    client = TestClient(app, base_url="http://127.0.0.1")
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers=bearer(TOKEN)).status_code == 200


def test_a_browser_gives_the_token_of_a_live_conversation_as_a_subprotocol(client):
    encoded = base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("=")
    offered = [SUBPROTOCOL, f"bearer.{encoded}"]
    with client.websocket_connect("ws://127.0.0.1/api/live", subprotocols=offered) as socket:
        assert socket.accepted_subprotocol == SUBPROTOCOL
        socket.send_text(json.dumps({"type": "start"}))
        assert socket.receive_json()["type"] == "ready"
    for wrong in ([], [SUBPROTOCOL], [SUBPROTOCOL, "bearer.AAAA"], ["bearer.!"]):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            client.websocket_connect("ws://127.0.0.1/api/live", subprotocols=wrong),
        ):
            pass
        assert refused.value.status_code == 401


def test_tokens_cannot_be_tried_at_any_rate(make_app):
    app = make_app(options={"tokens": [TOKEN]}, requests_per_second=0.5, burst=3)
    client = TestClient(app, base_url="http://127.0.0.1")
    tried = [client.get("/api/model", headers=bearer(OTHER)).status_code for _ in range(5)]
    assert tried == [401, 401, 401, 429, 429]
    assert client.get("/api/model", headers=bearer(TOKEN)).status_code == 200


def test_every_token_is_compared_in_constant_time(monkeypatch):
    compared, compare_digest = [], hmac.compare_digest

    def compare(one, other):
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    known = Tokens([TOKEN, OTHER, "x" * 16])
    compared.clear()
    assert known.accept(TOKEN)
    assert not known.accept("y" * 4000)
    assert compared == [(32, 32)] * 6  # all of them, of equal lengths, whichever fits


def test_tokens_come_from_a_file_and_a_variable(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# of the clinic\n{TOKEN}\n\n  {OTHER}  \n")
    assert read_tokens(file) == (TOKEN, OTHER)
    assert read_tokens(None, f"{TOKEN}, {OTHER}") == (TOKEN, OTHER)
    assert read_tokens(None) == ()


def test_a_wrong_token_is_named_by_its_place_alone(tmp_path):
    file = tmp_path / "tokens"
    with raises("tokens-unreadable"):
        read_tokens(file)
    file.write_text("# none\n\n")
    with raises("tokens-missing"):
        read_tokens(file)
    for content in (f"{TOKEN}\nshort", f"{TOKEN}\nwith a space in it", f"{TOKEN}\n" + "é" * 20):
        file.write_text(content)
        with raises("token-invalid") as error:
            read_tokens(file)
        assert f"{file}, line 2: " in str(error.value)
        assert content.splitlines()[1] not in str(error.value)


def test_the_warning_of_an_exposed_server_says_what_it_lacks():
    assert "neither tokens nor encryption" in exposure("0.0.0.0")
    assert "has no encryption" in exposure("0.0.0.0", needs_token=True)
