"""pytest's capture of logs, without looking through a thousand loggers six times a test."""

import logging
from typing import Any

from _pytest.logging import catching_logs

_apart: list[logging.Logger] = []
_n_known = 0


def find_loggers_once() -> None:
    """Let pytest look through the loggers again only when there are new ones."""
    catching_logs.__enter__ = _enter


def _enter(self: Any) -> logging.Handler:
    """As pytest does: records reach a handler from the root, and from loggers apart from it."""
    root = logging.getLogger()
    if self.level is not None:
        self.handler.setLevel(self.level)
    for logger in (root, *_loggers_apart()):
        logger.addHandler(self.handler)
        self.attached_loggers.append(logger)
    if self.level is not None:
        self.orig_level = root.level
        root.setLevel(min(self.orig_level, self.level))
    handler: logging.Handler = self.handler
    return handler


def _loggers_apart() -> list[logging.Logger]:
    """Those that do not propagate to the root; of torch there are fifty, which no test reads."""
    global _n_known
    loggers = logging.root.manager.loggerDict
    if len(loggers) != _n_known:
        _n_known = len(loggers)
        _apart[:] = [
            logger
            for name, logger in loggers.items()
            if isinstance(logger, logging.Logger)
            and not logger.propagate
            and not name.startswith("torch")
        ]
    return _apart
