"""Features computed from each audio file on its own, in several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.audio.segment import AudioSegment, audio_digests, audio_of
from data_prep.features.frame_files import FloatArray
from data_prep.schema import Utterance
from data_prep.tokens.binarize import ordered_map
from data_prep.tokens.folder import sequence_digest


@dataclass(frozen=True)
class AudioFeatures:
    """What `build()`, called in each of the processes, makes of audio: (T, width) frames.

    `settings` says what they depend on besides the files below `audio_root`; `memory` is the file
    that remembers the digests of those.
    """

    settings: Mapping[str, Any]
    width: int
    build: Callable[[], Callable[[AudioSegment], FloatArray]]
    audio_root: Path
    workers: int
    memory: Path

    def content(self, split: str, rows: Sequence[Utterance]) -> str:
        """Of the audio files' bytes, wherever they lie, and of the segments in them."""
        digests = audio_digests(self._audio(rows), self.memory)
        return sequence_digest(zip((row.id for row in rows), digests, strict=True))

    def frames(self, split: str, rows: Sequence[Utterance]) -> Iterator[FloatArray]:
        """Frames of each row, none where it has no audio."""
        build = partial(_or_nothing, self.build, self.width)
        with ordered_map(build, self.workers) as extract_all:
            yield from extract_all(self._audio(rows))

    def _audio(self, rows: Sequence[Utterance]) -> list[AudioSegment | None]:
        return [audio_of(row, self.audio_root) for row in rows]


def _or_nothing(
    build: Callable[[], Callable[[AudioSegment], FloatArray]], width: int
) -> Callable[[AudioSegment | None], FloatArray]:
    extract = build()
    none = np.zeros((0, width), dtype=np.float32)
    return lambda audio: none if audio is None else extract(audio)
