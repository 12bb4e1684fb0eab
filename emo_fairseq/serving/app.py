"""The application: a page, three questions that are posted, and what the model is.

    POST /api/predict    audio and/or text; embedding=true adds the embedding
    POST /api/timeline   audio; window_seconds, hop_seconds, text
    POST /api/explain    audio and/or text; start, end: of a part of the audio
    GET  /api/model      name, labels, axes, modalities, card, limits
    GET  /healthz        {"status": "ok"}

A question is multipart/form-data, or JSON with a text alone. Every error is {"error": sentence}.
The "cut" of an answer lists what the model did not read of too long a text or recording.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from emo_fairseq.inference.predictor import (
    EmotionPredictor,
    ShouldStop,
    StoppedError,
)
from emo_fairseq.serving.api import (
    QUESTIONS,
    About,
    Desk,
    Fields,
    Question,
    describe,
)
from emo_fairseq.serving.concurrency import Gate, Job
from emo_fairseq.serving.http_errors import (
    RefusalError,
    refused,
)
from emo_fairseq.serving.limits import (
    Limits,
    TokenBuckets,
    client_address,
)
from emo_fairseq.serving.request_body import (
    JSON,
    body_limit,
    media_type,
    read_body,
)
from emo_fairseq.serving.security import Guard

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
_SENTENCES = {404: "There is nothing at this address.", 405: "This address takes another method."}
_SMALL = 16_384  # bytes of a body
_STOPPED = "The work on this was given up."
_OURS = "The model failed on this input; the reason is in the server's log."


def create_app(
    predictor: EmotionPredictor,
    limits: Limits | None = None,
    about: About | None = None,
    hosts: Collection[str] = (),
) -> FastAPI:
    """The ASGI application of one predictor.

    Args:
        predictor: asked from threads, as many at once as ``limits.workers``.
        limits: what clients may ask; by default :class:`Limits`.
        about: the model's name and card.
        hosts: names that the server goes by, beside localhost and its addresses.
    """
    limits, about = limits or Limits(), about or About()
    gate, desk = Gate(limits), Desk(predictor, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        gate.close()

    # Its own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False
    )
    buckets = TokenBuckets(limits.requests_per_second, limits.burst)
    app.add_middleware(Guard, hosts=hosts, buckets=buckets)
    app.add_exception_handler(RefusalError, _refusal)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _failure)
    for name, question in QUESTIONS.items():
        asked = _endpoint(question, desk, gate, limits)
        app.add_api_route(f"/api/{name}", asked, methods=["POST"], response_model=None)
    described = describe(predictor, limits, about)
    app.add_api_route("/api/model", lambda: JSONResponse(described), response_model=None)
    app.add_api_route("/healthz", lambda: JSONResponse({"status": "ok"}), response_model=None)
    page, methods = STATIC / "index.html", ["GET", "HEAD"]
    app.add_api_route("/", lambda: FileResponse(page), methods=methods, response_model=None)
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _endpoint(
    question: Question, desk: Desk, gate: Gate, limits: Limits
) -> Callable[[Request], Awaitable[Response]]:
    run = functools.partial(_in_json, desk, question)

    async def ask(request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        limit = body_limit(request, limits, media_type(content_type) == JSON)

        async def read() -> Job:
            body = await read_body(request, limit, limits)
            parse = functools.partial(desk.read, question, content_type, body)
            # What is small is parsed sooner than a thread wakes up.
            fields = parse() if len(body) <= _SMALL else await asyncio.to_thread(parse)
            return Job(run, fields, question.is_batched(fields))

        async def left() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        answer: Response = await gate.answer(client_address(request.scope), limit, read, left)
        return answer

    return ask


def _in_json(
    desk: Desk, question: Question, many: Sequence[Fields], should_stop: ShouldStop
) -> list[Response]:
    """In the thread from the first byte to the last: a long timeline is a long text."""
    try:
        return [JSONResponse(answer) for answer in desk.answer(question, many, should_stop)]
    except RefusalError as refusal:
        response: Response = refusal.response()
    except StoppedError:  # nobody waits for it any longer
        response = refused(503, _STOPPED)
    except Exception:
        logger.exception("a request failed")
        response = refused(500, _OURS)
    if len(many) == 1:
        return [response]
    # Which of them failed, the error does not say.
    return [_in_json(desk, question, [fields], should_stop)[0] for fields in many]


async def _refusal(_: Request, error: Any) -> Response:
    refusal: RefusalError = error
    return refusal.response()


async def _http_error(_: Request, error: Any) -> Response:
    sentence = _SENTENCES.get(error.status_code, str(error.detail))
    return refused(error.status_code, sentence, dict(error.headers or {}))


async def _failure(_: Request, __: Exception) -> Response:
    return refused(500, _OURS)  # starlette raises the error again, for the log
