"""JSON of Whisper, WhisperX and faster-whisper: ``segments`` of start, end, text and speaker.

A segment without a speaker has that of its words, where they have one only. Segments of no length,
which Whisper writes at the end of its windows, are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from pydantic import model_validator

from data_prep.errors import CodedError
from data_prep.files.documents import ForeignDocument, load_json
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import Segmentation, Turn, parse_decimal

_REMEDY = 'give JSON of Whisper, such as {"segments": [{"start": 0, "end": 1.5, "text": "Hi"}]}'


class _Word(ForeignDocument):
    speaker: str | None = None


class _Segment(ForeignDocument):
    start: int | float
    end: int | float
    text: str | None = None
    speaker: str | None = None
    words: list[_Word] | None = None


class _Transcript(ForeignDocument):
    segments: list[_Segment]

    @model_validator(mode="before")
    @classmethod
    def _name_segments(cls, content: Any) -> Any:
        return {"segments": content} if isinstance(content, list) else content


def read(request: Request) -> Segmentation:
    """Read the segments as turns."""
    segments = load_json(request.path, _Transcript, remedy=_REMEDY).segments
    skipped: Counter[str] = Counter()
    turns = []
    for number, segment in enumerate(segments):
        where = f"segments[{number}]"
        start, end = (_time(request, where, value) for value in (segment.start, segment.end))
        if start == end:
            skipped["segments of no length"] += 1
            continue
        text = " ".join((segment.text or "").split()) or None
        turns.append(Turn(start, end, _speaker(segment), text, where))
    return Segmentation(request.path, turns, without_zero(skipped))


def _time(request: Request, where: str, value: int | float) -> Decimal:
    try:
        return parse_decimal(repr(value))
    except ValueError as error:
        raise CodedError(f"{request.path}: {where}: {error}; correct it", "time-invalid") from None


def _speaker(segment: _Segment) -> str | None:
    if segment.speaker is not None:
        return segment.speaker.strip() or None
    speakers: Sequence[str] = [word.speaker for word in segment.words or () if word.speaker]
    return speakers[0] if len(set(speakers)) == 1 else None
