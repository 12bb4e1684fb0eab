"""Behind a trusted proxy a client is whom the proxy names; of others the header has no effect."""

import json

import pytest
from starlette.testclient import TestClient

from emo_fairseq.serving.access_log import AccessLog

PROXY, CLIENT = "10.1.0.1", "203.0.113.7"


@pytest.fixture
def address_of(make_app, tmp_path):
    """Return the address that a request has in the access log."""

    def send(peer, *forwarded, trusted=("10.0.0.0/8", "::1")):
        file = tmp_path / "access.jsonl"
        file.unlink(missing_ok=True)
        options = {"access_log": AccessLog(str(file)), "trusted_proxies": trusted}
        client = TestClient(
            make_app(options=options), base_url="http://127.0.0.1", client=(peer, 5000)
        )
        client.get("/healthz", headers=[("X-Forwarded-For", value) for value in forwarded])
        return json.loads(file.read_text())["client"]

    return send


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (PROXY, [CLIENT], CLIENT),
        (PROXY, [f"198.51.100.1, {CLIENT}"], CLIENT),  # the client wrote the first itself
        (PROXY, [f"198.51.100.1, {CLIENT}, 10.2.0.1"], CLIENT),  # two proxies
        (PROXY, ["198.51.100.1", CLIENT], CLIENT),  # a header of each
        (PROXY, [f"{CLIENT}:4711"], CLIENT),
        (PROXY, ["2001:db8::7"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("::1", [CLIENT], CLIENT),
        (PROXY, [], PROXY),
        (PROXY, [""], PROXY),
        (PROXY, ["nobody"], PROXY),
        (PROXY, [f"{CLIENT}, <script>"], PROXY),
        ("192.0.2.9", [CLIENT], "192.0.2.9"),  # no proxy of ours
    ],
)
def test_addresses(address_of, peer, forwarded, expected):
    assert address_of(peer, *forwarded) == expected


def test_without_trusted_proxies_the_header_has_no_effect(address_of):
    assert address_of("127.0.0.1", CLIENT, trusted=()) == "127.0.0.1"


def test_each_client_behind_the_proxy_has_a_rate_of_its_own(make_app):
    app = make_app(options={"trusted_proxies": [PROXY]}, requests_per_second=0.5, burst=1)
    client = TestClient(app, base_url="http://127.0.0.1", client=(PROXY, 5000))

    def ask(name, *earlier):
        headers = {"X-Forwarded-For": ", ".join([*earlier, name])}
        return client.post("/api/predict", json={"text": "a day"}, headers=headers).status_code

    assert [ask(CLIENT), ask(CLIENT), ask("198.51.100.1")] == [200, 429, 200]
    assert ask(CLIENT, "198.51.100.99") == 429  # whatever it claims to come from
