"""The access log: a line of JSON for each request, without anything of its content."""

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

from emo_fairseq.errors import check_writable

STANDARD_OUTPUT = "-"
_CHARACTERS = 300  # of a value that the client chose


class AccessLog:
    """Writes the lines, each at once, so that several processes may share a file.

    A file that is moved away or removed, as logrotate does, is begun again.

    Args:
        target: a file, which is appended to; or ``-``, the standard output.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(self, target: str) -> None:
        handler: logging.Handler
        if target == STANDARD_OUTPUT:
            handler = logging.StreamHandler(sys.stdout)
        else:
            check_writable(Path(target), "--access-log")
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            handler = WatchedFileHandler(target, encoding="ascii", delay=True)
        handler.setFormatter(logging.Formatter("%(message)s"))
        self._handler = handler

    def write(self, **values: Any) -> None:
        """Write a line with the time and these values; long strings are cut."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        short = {k: v[:_CHARACTERS] if isinstance(v, str) else v for k, v in values.items()}
        line = json.dumps({"time": now, **short})  # ASCII: no line breaks, no control characters
        record = logging.LogRecord("access", logging.INFO, __file__, 0, line, None, None)
        self._handler.handle(record)
