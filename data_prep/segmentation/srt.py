r"""SubRip subtitles.

Marks of layout (``<i>``, ``{\an8}``) are removed. A text that begins with ``[NAME]: ``, as
WhisperX writes it, is of that speaker; a dash or a name with a colon alone stays in the text. Cues
of no length, which Whisper writes at the end of its windows, are counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from data_prep.segmentation.cues import (
    ARROW,
    NO_LENGTH,
    blocks,
    format_clock,
    read_times,
    refuse_joined,
)
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import Segmentation, Turn

_LAYOUT = re.compile(r"</?(?:i|b|u|s|font)(?:\s[^<>]*)?>|\{\\[^{}]*\}", re.IGNORECASE)
_FORM = (
    "its number, a line as 00:00:01,500 --> 00:00:03,000, and its text, with an empty line after it"
)
_SPEAKER = re.compile(r"\[([^\[\]]+)\]:(?:\s|$)")


def read(request: Request) -> Segmentation:
    """Read the cues as turns."""
    turns = []
    skipped: Counter[str] = Counter()
    for first, lines in blocks(request.text()):
        at = 1 if lines[0].strip().isdigit() and len(lines) > 1 else 0
        number = first + at
        start, end = read_times(request.path, number, lines[at], _FORM)
        refuse_joined(request.path, number + 1, lines[at + 1 :])
        if start == end:
            skipped[NO_LENGTH] += 1
            continue
        speaker, text = _speech(" ".join(lines[at + 1 :]))
        turns.append(Turn(start, end, speaker, text, f"line {number}"))
    return Segmentation(request.path, turns, without_zero(skipped))


def _speech(payload: str) -> tuple[str | None, str | None]:
    text = " ".join(_LAYOUT.sub("", payload).split())
    match = _SPEAKER.match(text)
    if match is None:
        return None, text or None
    return match[1].strip() or None, text[match.end() :].strip() or None


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return the cues; a label is in brackets before its text."""
    cues = []
    for number, (turn, label) in enumerate(zip(turns, labels, strict=True), start=1):
        parts = [f"[{turn.speaker}]:" if turn.speaker else "", f"[{label}]" if label else ""]
        text = " ".join(filter(None, [*parts, turn.text]))
        times = f"{format_clock(turn.start, ',')} {ARROW} {format_clock(turn.end, ',')}"
        cues.append(f"{number}\n{times}\n{text}\n\n" if text else f"{number}\n{times}\n\n")
    return "".join(cues)
