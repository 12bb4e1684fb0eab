"""Read an uploaded file of turns; one that cannot be used is an :class:`HttpError`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.messages import sentence
from data_prep.segmentation.formats import FORMATS, read_segmentation
from data_prep.segmentation.turn import Segmentation
from emo_fairseq.serving.http_errors import HttpError

_NAME = "the file of turns"


def read_turns(content: bytes, kind: str, recording: str | None) -> Segmentation:
    """Read the turns of a recording from memory.

    Raises:
        HttpError: the file cannot be read.
    """
    with _memory_file(content, FORMATS[kind].suffix) as path:
        try:
            segmentation = read_segmentation(path, kind=kind, recording=recording)
        except CodedError as error:
            message = sentence(error).replace(str(path), _NAME)
            raise HttpError(422, message, error.code or "segmentation-unusable") from None
    return replace(segmentation, path=Path(_NAME))


@contextmanager
def _memory_file(content: bytes, suffix: str) -> Iterator[Path]:
    """Give bytes a path, since readers open files.

    On Linux it is a link to a file that is in memory alone. Elsewhere it is a file that only this
    user may read. Both are deleted at once.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"turns{suffix}"
        if not hasattr(os, "memfd_create"):
            path.write_bytes(content)
            yield path
            return
        with os.fdopen(os.memfd_create("turns"), "wb") as file:
            file.write(content)
            file.flush()
            path.symlink_to(f"/proc/self/fd/{file.fileno()}")
            yield path
