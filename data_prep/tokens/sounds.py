"""The sounds of a corpus as the speech tokenizers read them, and what tells that they changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.loading import FloatArray
from data_prep.audio.segment import AudioSegment, audio_of
from data_prep.errors import CodedError
from data_prep.features.stored import rows_digest
from data_prep.files.digests import file_digest
from data_prep.schema import Utterance
from data_prep.tokens.binarize import SplitJob
from data_prep.tokens.folder import sequence_digest


class Sound(NamedTuple):
    """One utterance's audio. What is wrong with it is raised with the utterance's name."""

    name: str
    audio: AudioSegment
    n_samples: int = 0  # as the manifest counts them
    content: str = ""  # SHA-256 of the file, and which part of it

    def read(self, rate: int) -> FloatArray:
        """(n_samples,) mono at `rate`."""
        try:
            return self.audio.load(rate)
        except CodedError as error:
            raise CodedError(f"utterance {self.name!r}: {error}", error.code) from error

    def with_content(self, digest: Callable[[Path], str]) -> Sound:
        """With what identifies its content, by the `digest` of a file."""
        try:
            return self._replace(content=digest(self.audio.path) + self.audio.key)
        except CodedError as error:
            raise CodedError(f"utterance {self.name!r}: {error}", error.code) from error


def speech_job(root: Path, rows: Sequence[Utterance]) -> SplitJob[Sound | None]:
    """The sounds of one split; their digest is of the files' content, wherever they lie."""
    digest_once = cache(file_digest)  # one recording holds many segments
    sounds = [
        Sound(row.id, audio, row.n_samples or 0).with_content(digest_once) if audio else None
        for row in rows
        for audio in [audio_of(row, root)]
    ]
    contents = [sound and sound.content for sound in sounds]
    digest = sequence_digest(zip((row.id for row in rows), contents, strict=True))
    return SplitJob(sounds, digest, rows_digest(rows))
