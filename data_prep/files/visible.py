"""Files of a folder, less the hidden ones that systems leave there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from data_prep.messages import first_few

logger = logging.getLogger(__name__)


def visible(paths: Iterable[Path], folder: Path | None = None) -> list[Path]:
    """In order of path, less `._name`, which macOS leaves beside files on foreign disks.

    Args:
        paths: files.
        folder: they are below it; what lies in a hidden folder below it is left out, too.
    """
    kept: list[Path] = []
    hidden: list[Path] = []
    for path in sorted(paths):
        parts = (path.name,) if folder is None else path.relative_to(folder).parts
        (hidden if any(part.startswith(".") for part in parts) else kept).append(path)
    if hidden:
        names = first_few([path.name for path in hidden])
        logger.info("%d hidden files are skipped: %s", len(hidden), names)
    return kept
