"""The ASGI application: the page, the API, and the description of the model.

    POST /api/...        the endpoints of :mod:`emo_fairseq.serving.api`
    WebSocket /api/live  a conversation as it is spoken, see :mod:`emo_fairseq.serving.live`
    GET  /api/model      name, labels, axes, modalities, card, limits
    GET  /healthz        {"status": "ok"}

Every error is {"error": sentence, "code": code}.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, check_reads_text
from emo_fairseq.serving.api import (
    ENDPOINTS,
    Api,
    Endpoint,
    Fields,
    ModelDescription,
    describe_model,
)
from emo_fairseq.serving.concurrency import ConcurrencyLimiter, Job
from emo_fairseq.serving.http_errors import HttpError, error_response
from emo_fairseq.serving.limits import Limits, TokenBuckets, client_address
from emo_fairseq.serving.live import Live
from emo_fairseq.serving.live_turns import VoiceActivity
from emo_fairseq.serving.request_body import JSON, body_limit, media_type, read_body
from emo_fairseq.serving.security import SecurityMiddleware

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
_OF_STATUS = {
    404: ("There is nothing at this address.", "address-unknown"),
    405: ("This address takes another method.", "method-not-allowed"),
}
_SMALL = 16_384  # bytes of a body
_STOPPED = ("The computation was stopped.", "computation-stopped")
_INTERNAL = (
    "The model failed on this input; the reason is in the log of the server.",
    "internal-error",
)


def create_app(
    predictor: EmotionPredictor,
    limits: Limits | None = None,
    description: ModelDescription | None = None,
    hosts: Collection[str] = (),
    transcriber: FasterWhisper | None = None,
    make_voice: Callable[[], VoiceActivity] | None = None,
) -> FastAPI:
    """Return the ASGI application of one predictor.

    Args:
        predictor: called from threads, as many at once as ``limits.workers``.
        limits: of what clients may send; by default :class:`Limits`.
        description: the model's name and card.
        hosts: names of this server, beside localhost and its addresses.
        transcriber: of speech that comes without a text; None leaves it without one.
        make_voice: makes what detects the speech of a live conversation; without it there are none.

    Raises:
        UsageError: there is a transcriber, and the predictor reads no text.
    """
    if transcriber is not None:
        check_reads_text(predictor.modalities)
    limits, description = limits or Limits(), description or ModelDescription()
    limiter, api = ConcurrencyLimiter(limits), Api(predictor, limits, transcriber)
    live = Live(predictor, limits, make_voice, transcriber)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        limiter.close()
        live.close()

    # Its own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    buckets = TokenBuckets(limits.requests_per_second, limits.burst)
    app.add_middleware(SecurityMiddleware, hosts=hosts, buckets=buckets)
    app.add_exception_handler(HttpError, _on_http_error)
    app.add_exception_handler(HTTPException, _on_starlette_error)
    app.add_exception_handler(Exception, _on_failure)
    for name, endpoint in ENDPOINTS.items():
        post = _post(endpoint, api, limiter, limits)
        app.add_api_route(f"/api/{name}", post, methods=["POST"], response_model=None)
    app.add_api_websocket_route("/api/live", live.serve)
    model = describe_model(predictor, limits, description, transcriber)
    model["live"] = live.describe()
    app.add_api_route("/api/model", lambda: JSONResponse(model), response_model=None)
    app.add_api_route("/healthz", lambda: JSONResponse({"status": "ok"}), response_model=None)
    page, methods = STATIC / "index.html", ["GET", "HEAD"]
    app.add_api_route("/", lambda: FileResponse(page), methods=methods, response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _post(
    endpoint: Endpoint, api: Api, limiter: ConcurrencyLimiter, limits: Limits
) -> Callable[[Request], Awaitable[Response]]:
    run = functools.partial(_respond, api, endpoint)

    async def post(request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        limit = body_limit(request, limits, media_type(content_type) == JSON)

        async def read() -> Job:
            body = await read_body(request, limit, limits)
            parse = functools.partial(api.read, endpoint, content_type, body)
            # What is small is parsed sooner than a thread wakes up.
            fields = parse() if len(body) <= _SMALL else await asyncio.to_thread(parse)
            return Job(run, fields, endpoint.is_batched(fields))

        async def disconnected() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        address = client_address(request.scope)
        response: Response = await limiter.run(address, limit, read, disconnected)
        return response

    return post


def _respond(
    api: Api, endpoint: Endpoint, requests: Sequence[Fields], should_stop: ShouldStop
) -> list[Response]:
    """Compute and encode responses, both in the worker's thread: a long timeline is a long text."""
    try:
        return [JSONResponse(outputs) for outputs in api.handle(endpoint, requests, should_stop)]
    except HttpError as error:
        response: Response = error.response()
    except StoppedError:  # no client waits for it any longer
        response = error_response(503, *_STOPPED)
    except Exception:
        logger.exception("a request failed")
        response = error_response(500, *_INTERNAL)
    if len(requests) == 1:
        return [response]
    # The error does not name the one that failed.
    return [_respond(api, endpoint, [fields], should_stop)[0] for fields in requests]


async def _on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HttpError)
    return error.response()


async def _on_starlette_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    message, code = _OF_STATUS.get(status, (str(error.detail), f"http-{status}"))
    return error_response(status, message, code, error.headers)


async def _on_failure(_: Request, __: Exception) -> Response:
    return error_response(500, *_INTERNAL)  # starlette raises the error again, for the log
