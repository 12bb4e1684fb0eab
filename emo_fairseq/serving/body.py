"""The body of a request, counted while it arrives: its declared length is only a first hint."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.refusals import RefusalError

_JSON_BYTES_A_CHARACTER = 12  # \ud83d\ude00, the longest way to write one
_JSON_FIELDS = 4096


def body_limit(request: Request, limits: Limits, is_json: bool) -> int:
    """The bytes that the body of a request has by its header, or may have where that is missing.

    Raises:
        RefusalError: Content-Length is above the limit, or no number.
    """
    limit = limits.upload_bytes
    if is_json:  # holds a text and no audio
        limit = min(limit, limits.text_characters * _JSON_BYTES_A_CHARACTER + _JSON_FIELDS)
    declared = request.headers.get("content-length")
    if declared is None:
        return limit
    if not declared.isascii() or not declared.isdigit():
        raise RefusalError(400, "The Content-Length of the request is not a number.", hang_up=True)
    if len(declared) > 18 or int(declared) > limit:  # so many digits would be slow to read
        raise _too_large(limit)
    return int(declared)


async def read_body(request: Request, limit: int, limits: Limits) -> bytes:
    """All of it, in memory.

    Args:
        request: whose body has not been read.
        limit: bytes, see :func:`body_limit`.
        limits: times and rates.

    Raises:
        RefusalError: longer than the limit; slower than the limits; or the client is gone.
    """
    try:
        async with asyncio.timeout(min(limits.body_grace_seconds, limits.body_seconds)) as deadline:
            return await _collect(request, limit, limits, deadline)
    except TimeoutError:
        sentence = (
            f"The request did not arrive in time: at least {limits.body_bytes_per_second / 1e3:g} "
            f"kB a second are taken, and at most {limits.body_seconds:g} seconds."
        )
        raise RefusalError(408, sentence, hang_up=True) from None
    except ClientDisconnect:
        raise RefusalError(400, "The request broke off.", hang_up=True) from None


async def _collect(
    request: Request, limit: int, limits: Limits, deadline: asyncio.Timeout
) -> bytes:
    body = bytearray()
    start = asyncio.get_running_loop().time()
    async for piece in request.stream():
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        body += piece
        allowed = limits.body_grace_seconds + len(body) / limits.body_bytes_per_second
        deadline.reschedule(start + min(allowed, limits.body_seconds))
    return bytes(body)


def _too_large(limit: int) -> RefusalError:
    size = f"{limit / 1e6:.3g} MB" if limit >= 1e6 else f"{limit / 1e3:.3g} kB"
    return RefusalError(
        413, f"This is more than {size}, the most one request may be.", hang_up=True
    )
