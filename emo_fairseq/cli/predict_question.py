"""One item that ``predict`` is asked about, and what it is read from."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.manifest.cells import find_text_fault
from emo_fairseq.errors import UsageError


@dataclass(frozen=True)
class Question:
    """One item: audio, a text, or both. `error`: why it cannot be predicted."""

    name: str
    audio: Path | AudioSegment | None = None
    text: str | None = None
    error: str | None = None

    @property
    def times(self) -> dict[str, float | None]:
        """The columns start and end of its answer; none where its audio is a whole file."""
        if not isinstance(self.audio, AudioSegment):
            return {}
        return {"start": self.audio.start, "end": self.audio.end}


def checked(name: str, audio: Path | AudioSegment | None, text: str | None) -> Question:
    """An item, unless its text or its path is none."""
    if text is not None and (fault := find_text_fault(text)):
        return Question(name, error="; ".join(fault))
    try:
        is_path = audio is None or b"\0" not in os.fsencode(as_segment(audio).path)
    except UnicodeEncodeError:
        is_path = False
    return Question(name, audio, text, None if is_path else f"{str(audio)!r} is no path")


def opened(path: Path) -> TextIO:
    """The file as text; a byte that is no UTF-8 becomes a lone surrogate, which no text holds.

    Raises:
        UsageError: there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
