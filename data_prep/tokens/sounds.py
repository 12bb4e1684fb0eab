"""The sounds of a corpus as the speech tokenizers read them, and what tells that they changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.audio.loading import FloatArray, load_file
from data_prep.features.stored import rows_digest
from data_prep.files.digests import file_digest
from data_prep.schema import Utterance
from data_prep.tokens.binarize import SplitJob
from data_prep.tokens.folder import sequence_digest


class Sound(NamedTuple):
    """One utterance's audio file. What is wrong with it is told with the utterance's name."""

    name: str
    path: Path
    n_samples: int = 0  # as the manifest counts them
    content: str = ""  # SHA-256 of the file

    def read(self, rate: int) -> FloatArray:
        """(n_samples,) mono at `rate`."""
        try:
            return load_file(self.path, rate)
        except ValueError as error:
            raise ValueError(f"utterance {self.name!r}: {error}") from error

    def with_content(self) -> Sound:
        """With the SHA-256 of the file."""
        try:
            return self._replace(content=file_digest(self.path))
        except ValueError as error:
            raise ValueError(f"utterance {self.name!r}: {error}") from error


def speech_job(root: Path, rows: Sequence[Utterance]) -> SplitJob[Sound | None]:
    """The sounds of one split; their digest is of the files' content, wherever they lie."""
    sounds = [
        Sound(row.id, root / row.audio, row.n_samples or 0).with_content() if row.audio else None
        for row in rows
    ]
    contents = [sound and sound.content for sound in sounds]
    digest = sequence_digest(zip((row.id for row in rows), contents, strict=True))
    return SplitJob(sounds, digest, rows_digest(rows))
