"""Read the bytes of a request while they arrive; the declared length is only a first hint."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits

JSON, MULTIPART = "application/json", "multipart/form-data"

_JSON_BYTES_A_CHARACTER = 12  # \ud83d\ude00, the longest way to write one
_JSON_FIELDS_BYTES = 4096


def body_limit(request: Request, limits: Limits, is_text: bool) -> int:
    """Return the declared length of a body in bytes, or the limit where none is declared.

    Raises:
        HttpError: Content-Length is above the limit, or not a number.
    """
    limit = limits.upload_bytes
    if is_text:
        limit = min(limit, limits.text_characters * _JSON_BYTES_A_CHARACTER + _JSON_FIELDS_BYTES)
    declared = request.headers.get("content-length")
    if declared is None:
        return limit
    if not declared.isascii() or not declared.isdigit():
        message = "The Content-Length of the request is not a number."
        raise HttpError(400, message, "content-length-invalid", close=True)
    if len(declared) > 18 or int(declared) > limit:  # so many digits would be slow to parse
        raise _too_large(limit)
    return int(declared)


async def read_body(request: Request, limit: int, limits: Limits) -> bytes:
    """Read a whole body into memory.

    Raises:
        HttpError: longer than the limit; slower than the limits; or the client has disconnected.
    """
    try:
        async with asyncio.timeout(min(limits.body_grace_seconds, limits.body_seconds)) as deadline:
            return await _collect(request, limit, limits, deadline)
    except TimeoutError:
        message = (
            f"The request did not arrive in time: it needs at least "
            f"{limits.body_bytes_per_second / 1e3:g} kB a second, and at most "
            f"{limits.body_seconds:g} seconds in all."
        )
        raise HttpError(408, message, "body-timeout", close=True) from None
    except ClientDisconnect:
        message = "The client closed the connection within the body."
        raise HttpError(400, message, "client-disconnected", close=True) from None


async def _collect(
    request: Request, limit: int, limits: Limits, deadline: asyncio.Timeout
) -> bytes:
    body = bytearray()
    start = asyncio.get_running_loop().time()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit:
            raise _too_large(limit)
        body += chunk
        allowed = limits.body_grace_seconds + len(body) / limits.body_bytes_per_second
        deadline.reschedule(start + min(allowed, limits.body_seconds))
    return bytes(body)


def _too_large(limit: int) -> HttpError:
    size = f"{limit / 1e6:.3g} MB" if limit >= 1e6 else f"{limit / 1e3:.3g} kB"
    message = f"The request is larger than {size}, the limit."
    return HttpError(413, message, "body-too-large", close=True)


def media_type(content_type: str) -> str:
    """Return the media type of a body, `JSON` or `MULTIPART`.

    Raises:
        HttpError: another one, or none.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, MULTIPART):
        message = f"Send {MULTIPART}, or {JSON} with a text."
        raise HttpError(415, message, "media-type-unsupported", close=True)
    return kind
