"""The OpenAPI description: valid, complete, and true of requests and responses."""

import base64
import re

import pytest
from loudness import Loudness
from starlette.testclient import TestClient

from emo_fairseq.serving import schemas
from emo_fairseq.serving.endpoints import ENDPOINTS
from emo_fairseq.serving.request_body import JSON, MULTIPART

TEXT = "what a lovely day"


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_it_is_valid(document):
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document)
    assert document["openapi"] == "3.1.0"


def test_it_has_every_address_of_the_application(make_app):
    app = make_app()
    document = TestClient(app, base_url="http://127.0.0.1").get("/openapi.json").json()
    served = {route.path for route in app.routes if hasattr(route, "methods")}
    of_people = {"/", "/docs", "/openapi.json"}
    assert served - of_people == set(document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            assert set(operation["responses"]) >= {"200"}, (path, method)
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(set(names)) == len(names)


def test_the_fields_of_each_request_are_those_that_are_read(document, client):
    shown = document["components"]["schemas"]
    for name in ENDPOINTS:
        content = document["paths"][f"/api/{name}"]["post"]["requestBody"]["content"]
        model = shown[content[MULTIPART]["schema"]["$ref"].rpartition("/")[2]]
        refused = client.post(f"/api/{name}", files={"unknown": b"a"}).json()["error"]
        known = set(re.search(r"known fields: (.*)\.", refused)[1].split(", "))
        declared = set(model["properties"])
        if JSON in content:
            of_json = shown[content[JSON]["schema"]["$ref"].rpartition("/")[2]]
            declared |= set(of_json["properties"])
        # A conversation reads the text only to refuse it.
        assert known - {"text"} == declared - {"text"}, name


@pytest.fixture
def responses(make_app, hum, encode):
    client = TestClient(make_app(make_voice=Loudness), base_url="http://127.0.0.1")
    audio = {"audio": encode(hum(1.2))}
    rows = [{"text": TEXT}, {"audio": base64.b64encode(b"RIFF").decode()}]
    turns = {"turns": b"start,end,speaker\n0.1,0.6,ann\n0.7,1.1,\n"}
    return [
        (client.post("/api/predict", files=audio, data={"text": TEXT}), schemas.Prediction),
        (client.post("/api/predict", json={"text": TEXT * 200}), schemas.Prediction),
        (client.post("/api/predict", json={"text": TEXT, "embedding": True}), schemas.Prediction),
        (client.post("/api/predict", json={"inputs": rows}), schemas.Predictions),
        (client.post("/api/timeline", files=audio), schemas.Timeline),
        (client.post("/api/explain", files=audio, data={"text": TEXT}), schemas.Explanation),
        (client.post("/api/conversation", files={**audio, **turns}), schemas.Conversation),
        (client.get("/api/model"), schemas.ModelDescription),
        (client.get("/healthz"), schemas.Status),
        (client.get("/readyz"), schemas.Status),
        (client.post("/api/predict", json={}), schemas.Error),
        (client.get("/nothing"), schemas.Error),
    ]


def test_responses_are_what_their_models_declare(responses):
    for response, model in responses:
        assert response.status_code == (200 if model is not schemas.Error else response.status_code)
        content = response.json()
        read = model.model_validate(content)  # which refuses further fields, and missing ones
        assert read.model_dump(exclude_unset=True) == content, model.__name__


def test_every_status_of_an_error_is_declared(document, client, hum, encode):
    declared = document["paths"]["/api/predict"]["post"]["responses"]
    for request in (
        {"content": b"{", "headers": {"Content-Type": JSON}},
        {"content": b"a", "headers": {"Content-Type": "text/plain"}},
        {"json": {}},
        {"json": {"text": "x" * 6000}},
        {"json": {"text": TEXT}, "headers": {"Origin": "http://evil.example"}},
        {"json": {"text": TEXT}, "headers": {"Host": "evil.example"}},
    ):
        status = client.post("/api/predict", **request).status_code
        assert str(status) in declared, request


def test_the_page_of_the_description_loads_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert loaded
    for address in loaded:
        assert address.startswith("/"), address
        assert not address.startswith("//")
        assert client.get(address).status_code == 200, address
