"""Errors that a client gets: a status, a sentence and a stable code, as JSON."""

import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

from emo_fairseq.serving.request_ids import current_request_id

CLOSE = {"Connection": "close"}
INTERNAL = (
    "The model failed on this input; the reason is in the log of the server.",
    "internal-error",
)


class HttpError(Exception):
    """An error of a request, which the client gets as JSON; see :func:`error_response`.

    Args:
        status: 4xx, or 503 if the server is at its limits.
        message: for the person at the page.
        code: short and stable, in kebab case, for programs.
        retry_after: seconds after which the same request may succeed.
        close: whether to close the connection, since the rest of the body will not be read.
        headers: further ones.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        retry_after: float | None = None,
        close: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers: dict[str, str] = {**(headers or {}), **(CLOSE if close else {})}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def content(self) -> dict[str, str]:
        """Return the error of a part of a request, within a response."""
        return {"error": self.message, "code": self.code}

    def response(self) -> JSONResponse:
        """Return the response for the client."""
        return error_response(self.status, self.message, self.code, self.headers)


def error_response(
    status: int, message: str, code: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the JSON response that every error has, with the id of this task's request."""
    content = {"error": message, "code": code}
    if (request_id := current_request_id()) is not None:
        content["request_id"] = request_id
    return JSONResponse(content, status, headers)
