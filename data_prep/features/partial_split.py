"""Frames of the first rows of a split, kept on disk until the split is written.

`FOLDER/.SPLIT.partial/` holds parts of some seconds of work each, in the layout of a split, and
`parts.json` with their records. An extraction that was killed continues after the last part.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.errors import CodedError
from data_prep.features.frame_files import FloatArray, StoredFeatures, read_frames, write_frames
from data_prep.files.digests import FileRecord, is_whole, records_of
from data_prep.files.documents import Document, FileName, load_json
from data_prep.files.replacing import replacing

logger = logging.getLogger(__name__)

_LIST = "parts.json"
_PART_SECONDS = 30.0
_PART_BYTES = 64 << 20


class PartList(Document):
    """The schema of `parts.json`: what the frames depend on, and each part's files."""

    key: str
    parts: list[dict[FileName, FileRecord]]


class PartialSplit:
    """The parts of one split.

    Args:
        folder: of the features; locked by the caller.
        split: its name.
        key: digest of all that the frames depend on; parts of another are not used.
    """

    def __init__(self, folder: Path, split: str, key: str) -> None:
        self._folder = folder / f".{split}.partial"
        self._split = split
        self._key = key
        self._parts: list[Mapping[str, Mapping[str, Any]]] = []

    def frames(self, compute: Callable[[int], Iterator[FloatArray]]) -> Iterator[FloatArray]:
        """Yield the frames (T, C) of every row: of the parts, then those that are computed.

        Args:
            compute: yields the frames of all rows from a number on.
        """
        n_rows = 0
        for part in self._read():
            yield from (part[row] for row in range(len(part)))
            n_rows += len(part)
        if n_rows:
            logger.warning("%s: continues after %d rows", self._folder.parent, n_rows)
        waiting: list[FloatArray] = []
        n_bytes, began = 0, time.monotonic()
        for frames in compute(n_rows):
            waiting.append(frames)
            n_bytes += frames.nbytes
            yield frames
            if time.monotonic() - began > _PART_SECONDS or n_bytes > _PART_BYTES:
                self._write(waiting)
                waiting, n_bytes, began = [], 0, time.monotonic()

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self) -> Iterator[StoredFeatures]:
        """Yield the parts that are whole, up to the first that is not; forget the others."""
        self._parts = []
        file = self._folder / _LIST
        if not file.is_file():
            return
        try:
            known = load_json(file, PartList, remedy="delete it")
        except CodedError:  # of a power failure
            known = PartList(key="", parts=[])
        parts = known.model_dump()["parts"] if known.key == self._key else []
        for number, part in enumerate(parts):
            if not is_whole(self._folder, part):
                break
            self._parts.append(part)
            yield read_frames(self._folder, _name(number))

    def _write(self, frames: Sequence[FloatArray]) -> None:
        if not frames:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name = _name(len(self._parts))
        dtype = max((x.dtype for x in frames), key=lambda dtype: dtype.itemsize)
        write_frames(self._folder, name, frames, dtype)
        self._parts.append(records_of(self._folder, (f"{name}.npy", f"{name}.lengths")))
        content = json.dumps({"key": self._key, "parts": self._parts})
        with replacing(self._folder / _LIST, is_locked=True) as part:
            part.write_text(content, encoding="utf-8")


def _name(number: int) -> str:
    return f"{number:06d}"
