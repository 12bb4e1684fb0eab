"""Segments of recordings, from `start` to `end` in seconds: faults, names and keys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.files.remote import as_path


def segment_key(start: float | None, end: float | None) -> str:
    """Return a segment as text for digests; equal segments give equal texts, a whole file "".

    >>> segment_key(0.0, None), segment_key(None, 2.0), segment_key(1.5, None)
    ('', ' 0.0-2.0', ' 1.5-end')
    """
    if not start and end is None:
        return ""
    return f" {float(start or 0.0)!r}-{'end' if end is None else repr(float(end))}"


def segment_fault(
    recording: str | None, start: float | None, end: float | None
) -> tuple[str, str] | None:
    """Return (problem, remedy) if `start` and `end` are not a segment of a recording, else None."""
    if start is None and end is None:
        return None
    times = {"start": start, "end": end}
    for name, time in times.items():
        if time is not None and not 0.0 <= time < math.inf:  # NaN fails too
            return f"{name} is {time}", "write seconds from 0 up, or leave the field empty"
    given = [name for name, time in times.items() if time is not None]
    if given and recording is None:
        problem = f"{' and '.join(given)} without audio or video"
        return problem, "name the recording, or empty start and end"
    if end is not None and end <= (start or 0.0):
        problem = f"end {end} is not after start {start or 0.0}"
        return problem, "write the seconds at which the segment begins and ends in the recording"
    return None


@dataclass(frozen=True)
class RecordingSegment:
    """A recording from `start` to `end`; by default all of it.

    Attributes:
        path: the recording; a string is converted to a Path.
        start: in seconds.
        end: in seconds; None = end of the recording.

    Raises:
        CodedError: a time is negative or not finite, or `end` is not after `start`.

    >>> RecordingSegment("dialog.mp4", 1.5, 4.0).name
    'dialog.mp4 from 1.5 s to 4 s'
    """

    path: Path
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", as_path(self.path))
        if fault := segment_fault(str(self.path), self.start, self.end):
            problem, remedy = fault
            raise CodedError(f"{self.path}: {problem}; {remedy}", "segment-invalid")

    def __str__(self) -> str:
        return f"{self.path}{self._span}"

    @property
    def name(self) -> str:
        """Return the name of the file, and the times of the segment, for messages."""
        return f"{self.path.name}{self._span}"

    @property
    def is_whole(self) -> bool:
        """Return whether it is the whole recording."""
        return not self.start and self.end is None

    @property
    def _span(self) -> str:
        if self.is_whole:
            return ""
        end = "the end" if self.end is None else f"{self.end:g} s"
        return f" from {self.start:g} s to {end}"

    @property
    def key(self) -> str:
        """Return the segment as text for digests, "" for a whole recording."""
        return segment_key(self.start, self.end)
