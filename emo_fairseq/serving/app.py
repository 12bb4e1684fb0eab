"""The ASGI application: the page, the API, and the description of the model.

    POST /api/...        the endpoints of :mod:`emo_fairseq.serving.endpoints`
    WebSocket /api/live  a conversation as it is spoken, see :mod:`emo_fairseq.serving.live`
    GET  /api/model      name, labels, axes, modalities, card, limits
    GET  /healthz        {"status": "ok"} while the process works
    GET  /readyz         the same while it should get requests, else 503
    GET  /metrics        for Prometheus
    GET  /openapi.json   the description of all of these; /docs shows it

Every error is {"error": sentence, "code": code, "request_id": id}.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from emo_fairseq.diarization.voice_activity import VoiceActivity
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop
from emo_fairseq.inference.transcribing import FasterWhisper, check_reads_text
from emo_fairseq.serving.access_log import AccessLog
from emo_fairseq.serving.api import Api, Endpoint, Request
from emo_fairseq.serving.clients import TokenBuckets, client_address
from emo_fairseq.serving.concurrency import ConcurrencyLimiter, Job
from emo_fairseq.serving.endpoints import ENDPOINTS
from emo_fairseq.serving.http_errors import HttpError, error_response
from emo_fairseq.serving.lifecycle import Lifecycle
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.lingering import LingeringClose
from emo_fairseq.serving.live import Live
from emo_fairseq.serving.meter import Meter
from emo_fairseq.serving.model_description import ModelDescription, describe_model
from emo_fairseq.serving.openapi import OPENAPI, describe_api
from emo_fairseq.serving.proxies import TrustedProxies
from emo_fairseq.serving.request_body import JSON, body_limit, media_type, read_body
from emo_fairseq.serving.request_ids import current_request_id
from emo_fairseq.serving.requests import RequestMiddleware
from emo_fairseq.serving.security import SecurityMiddleware
from emo_fairseq.serving.tokens import Tokens

STATIC = Path(__file__).parent / "static"
_OF_STATUS = {
    404: ("There is nothing at this address.", "address-unknown"),
    405: ("This address takes another method.", "method-not-allowed"),
}
_SMALL = 16_384  # bytes of a body
_PAGES = {"/": "index.html", "/docs": "docs.html"}


def create_app(
    predictor: EmotionPredictor,
    limits: Limits | None = None,
    description: ModelDescription | None = None,
    hosts: Collection[str] = (),
    transcriber: FasterWhisper | None = None,
    make_voice: Callable[[], VoiceActivity] | None = None,
    *,
    tokens: Collection[str] = (),
    trusted_proxies: Sequence[str] = (),
    access_log: AccessLog | None = None,
    meter: Meter | None = None,
    lifecycle: Lifecycle | None = None,
) -> FastAPI:
    """Return the ASGI application of one predictor.

    Args:
        predictor: called from threads, as many at once as ``limits.threads``.
        limits: of what clients may send; by default :class:`Limits`.
        description: the model's name and card.
        hosts: names of this server, beside localhost and its addresses.
        transcriber: of speech that comes without a text; None leaves it without one.
        make_voice: makes what detects the speech of a live conversation; without it there are none.
        tokens: of which clients of the API need one; none: they need none.
        trusted_proxies: networks of proxies that name the addresses of their clients.
        access_log: of requests.
        meter: of the metrics; ``/metrics`` is there if it has an ``exposition()``.
        lifecycle: of the server, for a caller that ends it.

    Raises:
        UsageError: there is a transcriber, and the predictor reads no text.
    """
    if transcriber is not None:
        check_reads_text(predictor.modalities)
    limits, description = limits or Limits(), description or ModelDescription()
    lifecycle, meter = lifecycle or Lifecycle(limits), meter or Meter()
    limiter, api = ConcurrencyLimiter(limits, meter), Api(predictor, limits, transcriber)
    live = Live(predictor, limits, make_voice, transcriber, lifecycle, meter)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        limiter.close()
        live.close()

    # FastAPI's own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    app.state.lifecycle = lifecycle
    buckets = TokenBuckets(limits.requests_per_second, limits.burst)
    # The last one is the outermost.
    app.add_middleware(SecurityMiddleware, hosts=hosts, buckets=buckets, tokens=Tokens(tokens))
    app.add_middleware(RequestMiddleware, lifecycle=lifecycle, meter=meter, access_log=access_log)
    app.add_middleware(TrustedProxies, networks=trusted_proxies)
    app.add_middleware(LingeringClose)
    app.add_exception_handler(HttpError, _on_http_error)
    app.add_exception_handler(HTTPException, _on_starlette_error)

    for name, endpoint in ENDPOINTS.items():
        post = _post(endpoint, api, limiter, limits, lifecycle)
        app.add_api_route(f"/api/{name}", post, methods=["POST"], response_model=None)
    app.add_api_websocket_route("/api/live", live.serve)
    model = describe_model(predictor, limits, description, transcriber)
    model["live"] = live.describe()
    responses: dict[str, Callable[[], Response]] = {
        "/api/model": lambda: JSONResponse(model),
        "/healthz": lambda: JSONResponse({"status": "ok"}),
        "/readyz": functools.partial(_readiness, lifecycle),
    }
    exposition = getattr(meter, "exposition", None)
    if exposition is not None:
        from emo_fairseq.serving.metrics import CONTENT_TYPE

        responses["/metrics"] = lambda: Response(exposition(), media_type=CONTENT_TYPE)
    document = describe_api(tokens=bool(tokens), has_metrics=exposition is not None)
    responses[OPENAPI] = lambda: JSONResponse(document)
    for path, respond in responses.items():
        app.add_api_route(path, respond, response_model=None)
    for path, file in _PAGES.items():
        page = _page(STATIC / file)
        app.add_api_route(path, page, methods=["GET", "HEAD"], response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _page(file: Path) -> Callable[[], Response]:
    return lambda: FileResponse(file)


def _readiness(lifecycle: Lifecycle) -> Response:
    if lifecycle.is_ready:
        return JSONResponse({"status": "ok"})
    return error_response(503, "The server is stopping.", "server-stopping")


def _post(
    endpoint: Endpoint,
    api: Api,
    limiter: ConcurrencyLimiter,
    limits: Limits,
    lifecycle: Lifecycle,
) -> Callable[[HttpRequest], Awaitable[Response]]:
    run = functools.partial(_respond, api, endpoint)

    async def post(request: HttpRequest) -> Response:
        lifecycle.check_open()
        content_type = request.headers.get("content-type", "")
        is_text = media_type(content_type) == JSON and not endpoint.is_predict
        limit = body_limit(request, limits, is_text)

        async def read() -> Job:
            body = await read_body(request, limit, limits)
            name = current_request_id()
            parse = functools.partial(api.read, endpoint, content_type, body, name)
            # What is small is parsed sooner than a thread wakes up.
            is_small = len(body) <= _SMALL
            content = parse() if is_small else await asyncio.to_thread(parse)
            preprocess = functools.partial(api.preprocess, endpoint, content)
            has_audio = "audio" in content.fields
            content = await asyncio.to_thread(preprocess) if has_audio else preprocess()
            return Job(run, content, content.batch_key)

        async def disconnected() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        address = client_address(request.scope)
        result: Response | HttpError = await limiter.run(address, limit, read, disconnected)
        return result.response() if isinstance(result, HttpError) else result

    return post


def _respond(
    api: Api, endpoint: Endpoint, requests: Sequence[Request], should_stop: ShouldStop
) -> list[Response | HttpError]:
    """Compute and encode responses, both in the worker's thread: a long timeline is a long text."""
    results = api.handle(endpoint, requests, should_stop)
    return [x if isinstance(x, HttpError) else JSONResponse(x) for x in results]


async def _on_http_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HttpError)
    return error.response()


async def _on_starlette_error(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = error.status_code
    message, code = _OF_STATUS.get(status, (str(error.detail), f"http-{status}"))
    return error_response(status, message, code, error.headers)
