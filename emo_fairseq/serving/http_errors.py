"""A request that is not answered: its status, and one sentence that says why."""

import math

from starlette.responses import JSONResponse


class RefusalError(Exception):
    """Raised anywhere below a request; the client gets ``{"error": sentence}``.

    Args:
        status: 4xx, or 503 if it is the server's lack.
        sentence: for the person at the page.
        retry_after: seconds after which the same request may succeed.
        hang_up: close the connection, since the rest of the body will not be read.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        retry_after: float | None = None,
        hang_up: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers: dict[str, str] = {}
        if retry_after is not None:
            self.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
        if hang_up:
            self.headers["Connection"] = "close"

    def response(self) -> JSONResponse:
        """What the client gets."""
        return refused(self.status, self.sentence, self.headers)


def refused(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The one form of every error."""
    return JSONResponse({"error": sentence}, status, headers)
