"""Warnings about single rows, which worker processes read in every epoch."""

import logging
from collections.abc import Sequence

import torch

_MAX_WARNINGS = 10  # rows that are named one by one


class RowWarnings:
    """Logs a warning of each row once, and of the first ten rows alone.

    Args:
        logger: of the dataset.
        names: N names of the rows.
        at_last: logged after the last of them.
    """

    def __init__(self, logger: logging.Logger, names: Sequence[str], at_last: str) -> None:
        self._logger, self._names, self._at_last = logger, names, at_last
        # Shared, for the worker processes of an epoch are new ones.
        self._warned = torch.zeros(len(names), dtype=torch.bool).share_memory_()

    def warn(self, index: int, message: str) -> None:
        """Log a warning of a row, unless it was warned of before."""
        if self._warned[index]:
            return
        self._warned[index] = True
        n_warned = int(self._warned.sum())
        if n_warned <= _MAX_WARNINGS:
            self._logger.warning("%s: %s", self._names[index], message)
        if n_warned == _MAX_WARNINGS:
            self._logger.warning("%s", self._at_last)
