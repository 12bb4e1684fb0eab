"""Read an uploaded file of turns; one that cannot be used is an :class:`HttpError`."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.messages import sentence
from data_prep.segmentation.formats import read_segmentation
from data_prep.segmentation.turn import Segmentation
from emo_fairseq.serving.http_errors import HttpError

_NAME = "the file of turns"


def read_turns(content: bytes, kind: str, recording: str | None) -> Segmentation:
    """Read the turns of a recording from memory.

    Args:
        content: of the file.
        kind: a name of :data:`data_prep.segmentation.formats.FORMATS`.
        recording: file name of the recording, which a file of several is searched for.

    Raises:
        HttpError: the file cannot be read.
    """
    with _memory_file(content) as path:
        try:
            found = read_segmentation(path, kind=kind, recording=recording)
        except CodedError as error:
            message = sentence(error).replace(str(path), _NAME)
            raise HttpError(422, message, error.code or "segmentation-unusable") from None
    return replace(found, path=Path(_NAME))


@contextmanager
def _memory_file(content: bytes) -> Iterator[Path]:
    """Give bytes a path, since readers open files.

    On Linux the file is in memory alone. Elsewhere it is in a folder that only this user may read,
    and is deleted at once.
    """
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("turns"), "wb") as file:
            file.write(content)
            file.flush()
            yield Path(f"/proc/self/fd/{file.fileno()}")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "turns"
        path.write_bytes(content)
        yield path
