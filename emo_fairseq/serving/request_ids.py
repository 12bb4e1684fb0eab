"""The id of the request that is being handled: in its headers, its errors and the logs."""

import re
import uuid
from contextvars import ContextVar

HEADER = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)  # nothing that a log could misread
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request(given: str | None) -> str:
    r"""Set and return the id of a request: the one that its client gave, or else a new one.

    >>> begin_request("trace-7"), current_request_id()
    ('trace-7', 'trace-7')
    >>> len(begin_request("two\nlines")), len(begin_request("x" * 129))
    (32, 32)
    """
    request_id = given if given and _ID.fullmatch(given) else uuid.uuid4().hex
    _current.set(request_id)
    return request_id


def current_request_id() -> str | None:
    """Return the id of this task's request; None outside of requests."""
    return _current.get()
