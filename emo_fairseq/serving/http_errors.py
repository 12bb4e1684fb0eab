"""Errors that a client gets: a status, a sentence and a stable code, as JSON."""

import math
from collections.abc import Mapping

from starlette.responses import JSONResponse

CLOSE = {"Connection": "close"}


class HttpError(Exception):
    """An error of a request; the client gets ``{"error": message, "code": code}``.

    Args:
        status: 4xx, or 503 if the server is at its limits.
        message: for the person at the page.
        code: short and stable, in kebab case, for programs.
        retry_after: seconds after which the same request may succeed.
        close: whether to close the connection, since the rest of the body will not be read.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        retry_after: float | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers: dict[str, str] = dict(CLOSE) if close else {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))

    def response(self) -> JSONResponse:
        """Return the response for the client."""
        return error_response(self.status, self.message, self.code, self.headers)


def error_response(
    status: int, message: str, code: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the JSON response that every error has."""
    return JSONResponse({"error": message, "code": code}, status, headers)
