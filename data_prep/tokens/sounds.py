"""Audio of a corpus as the input of speech tokenizers, with digests to detect changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.decoding import FloatArray
from data_prep.audio.segment import AudioSegment, audio_of
from data_prep.errors import CodedError
from data_prep.files.digests import file_digest
from data_prep.manifest.digests import rows_digest, sequence_digest
from data_prep.schema import Utterance
from data_prep.tokens.binarize import SplitJob


class Sound(NamedTuple):
    """Audio of an utterance; errors name the utterance."""

    name: str
    audio: AudioSegment
    n_samples: int = 0  # in the manifest
    content: str = ""  # SHA-256 of the file, followed by the times of the segment

    def read(self, rate: int) -> FloatArray:
        """Load (n_samples,) mono samples at `rate`."""
        try:
            return self.audio.load(rate)
        except CodedError as error:
            raise CodedError(f"utterance {self.name!r}: {error}", error.code) from error

    def with_content(self, digest: Callable[[Path], str]) -> Sound:
        """Return a copy with `content`, by a function that returns the digest of a file."""
        try:
            return self._replace(content=digest(self.audio.path) + self.audio.key)
        except CodedError as error:
            raise CodedError(f"utterance {self.name!r}: {error}", error.code) from error


def speech_job(root: Path, rows: Sequence[Utterance]) -> SplitJob[Sound | None]:
    """Return the audio of a split, with a digest of its content, independent of paths."""
    digest_once = cache(file_digest)  # a recording may have many segments
    sounds = [
        Sound(row.id, audio, row.n_samples or 0).with_content(digest_once) if audio else None
        for row in rows
        for audio in [audio_of(row, root)]
    ]
    contents = [sound and sound.content for sound in sounds]
    digest = sequence_digest(zip((row.id for row in rows), contents, strict=True))
    return SplitJob(sounds, digest, rows_digest(rows))
