"""pytest's capture of logs, without looking through a thousand loggers six times a test."""

import functools
import logging
from typing import Any

from _pytest.logging import catching_logs


def find_loggers_once() -> None:
    """Let pytest look through the loggers again only when there are new ones."""
    catching_logs.__enter__ = _enter


def _enter(self: Any) -> logging.Handler:
    """As pytest does: records reach a handler from the root, and from loggers apart from it."""
    root = logging.getLogger()
    if self.level is not None:
        self.handler.setLevel(self.level)
    for logger in (root, *_loggers_apart(len(root.manager.loggerDict))):
        logger.addHandler(self.handler)
        self.attached_loggers.append(logger)
    if self.level is not None:
        self.orig_level = root.level
        root.setLevel(min(self.orig_level, self.level))
    handler: logging.Handler = self.handler
    return handler


@functools.lru_cache(maxsize=1)
def _loggers_apart(n_loggers: int) -> list[logging.Logger]:
    """Those that do not propagate to the root; of torch there are fifty, which no test reads."""
    return [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
        and not logger.propagate
        and not name.startswith("torch")
    ]
