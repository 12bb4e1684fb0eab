"""Features computed from each audio file on its own, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.features.frame_files import FloatArray
from data_prep.files.digests import file_digests
from data_prep.schema import Utterance
from data_prep.tokens.binarize import ordered_map
from data_prep.tokens.folder import sequence_digest


@dataclass(frozen=True)
class AudioFeatures:
    """What `build()`, called in each of the processes, makes of a file: (T, width) frames.

    `settings` says what they depend on besides the files below `audio_root`; `memory` is the file
    that remembers the digests of those.
    """

    settings: Mapping[str, Any]
    width: int
    build: Callable[[], Callable[[Path], FloatArray]]
    audio_root: Path
    workers: int
    memory: Path

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """Of the audio files' bytes, wherever they lie."""
        digests = file_digests([self._file(row) for row in rows], self.memory)
        return sequence_digest(zip((row.id for row in rows), digests, strict=True))

    def frames(self, split: str, rows: Sequence[Utterance]) -> Iterator[FloatArray]:
        """Frames of each row, none where it has no audio."""
        build = partial(_or_nothing, self.build, self.width)
        with ordered_map(build, self.workers) as extract_all:
            yield from extract_all([self._file(row) for row in rows])

    def _file(self, row: Utterance) -> Path | None:
        return None if row.audio is None else self.audio_root / row.audio


def _or_nothing(
    build: Callable[[], Callable[[Path], FloatArray]], width: int
) -> Callable[[Path | None], FloatArray]:
    extract = build()
    none = np.zeros((0, width), dtype=np.float32)
    return lambda file: none if file is None else extract(file)
