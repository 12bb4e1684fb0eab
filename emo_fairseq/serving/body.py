"""The body of a request, counted while it arrives: its declared length is only a first hint."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.refusals import RefusalError

_JSON_BYTES_A_CHARACTER = 12  # \ud83d\ude00, the longest way to write one
_JSON_FIELDS = 4096


async def read_body(request: Request, limits: Limits, is_json: bool) -> bytes:
    """All of it, in memory.

    Raises:
        RefusalError: longer than the limit, whatever its Content-Length says or leaves out; slower
            than the limit; or the client is gone.
    """
    limit = limits.upload_bytes
    if is_json:  # holds a text and no audio
        limit = min(limit, limits.text_characters * _JSON_BYTES_A_CHARACTER + _JSON_FIELDS)
    declared = request.headers.get("content-length", "0")
    if not declared.isascii() or not declared.isdigit():
        raise RefusalError(400, "The Content-Length of the request is not a number.", hang_up=True)
    if len(declared) > 18 or int(declared) > limit:  # so many digits would be slow to read
        raise _too_large(limit)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(request, limit)
    except TimeoutError:
        sentence = f"The request did not arrive within {limits.body_seconds:g} seconds."
        raise RefusalError(408, sentence, hang_up=True) from None
    except ClientDisconnect:
        raise RefusalError(400, "The request broke off.", hang_up=True) from None


async def _collect(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        if len(body) + len(piece) > limit:
            raise _too_large(limit)
        body += piece
    return bytes(body)


def _too_large(limit: int) -> RefusalError:
    size = f"{limit / 1e6:.3g} MB" if limit >= 1e6 else f"{limit / 1e3:.3g} kB"
    return RefusalError(
        413, f"This is more than {size}, the most one request may be.", hang_up=True
    )
