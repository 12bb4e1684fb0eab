"""The OpenAPI description of the service, from the models of :mod:`emo_fairseq.serving.schemas`."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from emo_fairseq.serving import schemas
from emo_fairseq.serving.endpoints import ENDPOINTS
from emo_fairseq.serving.request_body import JSON, MULTIPART
from emo_fairseq.serving.request_ids import HEADER

OPENAPI = "/openapi.json"
_VERSION = "3.1.0"
_REF = "#/components/schemas/{model}"
_TOKEN = "token"
# By endpoint: the bodies that it takes, by media type, and its responses.
_MODELS: Mapping[str, tuple[Mapping[str, Any], Sequence[Any]]] = {
    "predict": (
        {MULTIPART: schemas.PredictForm, JSON: schemas.PredictJson},
        (schemas.Prediction, schemas.Predictions),
    ),
    "timeline": ({MULTIPART: schemas.TimelineForm}, (schemas.Timeline,)),
    "explain": (
        {MULTIPART: schemas.ExplainForm, JSON: schemas.ExplainJson},
        (schemas.Explanation,),
    ),
    "conversation": ({MULTIPART: schemas.ConversationForm}, (schemas.Conversation,)),
}
_ERRORS = {
    400: "The request is malformed.",
    401: "A token is missing, or is none of the server's.",
    403: "The request comes from another web page.",
    408: "The body arrived too slowly.",
    413: "The request, a text, a recording, a video or the number of rows is beyond a limit.",
    415: "The body, the audio or the video is of a type that is not read.",
    421: "The Host header does not name this server.",
    422: "The model cannot use this input.",
    429: "This client has sent too many requests.",
    500: "The model failed on this input.",
    503: "The server is busy or stopping.",
}
_RETRIED = (429, 503)
_READING = (401, 403, 421)  # errors of GET


def describe_api(*, tokens: bool, has_metrics: bool) -> dict[str, Any]:
    """Return the description as JSON values."""
    _, definitions = models_json_schema(
        [(model, "validation") for model in schemas.all_models()], ref_template=_REF
    )
    paths = {f"/api/{name}": {"post": _post(name)} for name in ENDPOINTS}
    paths["/api/model"] = {"get": _get("Describe the model.", schemas.ModelDescription)}
    paths["/healthz"] = {"get": _get("Return whether the process works.", schemas.Status)}
    ready = _get("Return whether the server should get requests.", schemas.Status)
    ready["responses"]["503"] = _error(503)
    paths["/readyz"] = {"get": ready}
    if has_metrics:
        text = {"text/plain": {"schema": {"type": "string"}}}
        metrics = {"summary": "Return metrics for Prometheus.", "operationId": "metrics"}
        responses = {"200": {"description": "Metrics.", "content": text}}
        paths["/metrics"] = {"get": {**metrics, "responses": responses}}
    document: dict[str, Any] = {
        "openapi": _VERSION,
        "info": {
            "title": "emo_fairseq",
            "version": "1",
            "description": "Emotions of speech, text and video, predicted by one model. Live "
            "conversations are a WebSocket at /api/live, which OpenAPI does not describe.",
        },
        "paths": paths,
        "components": {"schemas": definitions["$defs"]},
    }
    if tokens:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {_TOKEN: scheme}
        for path, operations in paths.items():
            if path.startswith(("/api/", "/metrics")):
                for operation in operations.values():
                    operation["security"] = [{_TOKEN: []}]
                    operation["responses"]["401"] = _error(401)
    return document


def _post(name: str) -> dict[str, Any]:
    bodies, returned = _MODELS[name]
    content = {kind: {"schema": _ref(model)} for kind, model in bodies.items()}
    models = [_ref(model) for model in returned]
    schema = models[0] if len(models) == 1 else {"anyOf": models}
    responses = {"200": {"description": "The result.", "content": {JSON: {"schema": schema}}}}
    responses |= {str(status): _error(status) for status in _ERRORS if status != 401}
    return {
        "summary": ENDPOINTS[name].about,
        "operationId": name,
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": content},
        "responses": responses,
    }


def _get(about: str, model: Any) -> dict[str, Any]:
    content = {JSON: {"schema": _ref(model)}}
    responses = {"200": {"description": "The result.", "content": content}}
    responses |= {str(status): _error(status) for status in _READING if status != 401}
    name = about.split()[-1].strip(".")
    return {"summary": about, "operationId": f"get_{name}", "responses": responses}


_REQUEST_ID = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "An id that the response, its error and the logs repeat.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
}


def _error(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": _ERRORS[status],
        "content": {JSON: {"schema": _ref(schemas.Error)}},
    }
    if status in _RETRIED:
        about = "Seconds after which the request may succeed."
        response["headers"] = {"Retry-After": {"description": about, "schema": {"type": "integer"}}}
    return response


def _ref(model: Any) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
