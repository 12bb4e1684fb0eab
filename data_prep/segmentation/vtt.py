"""WebVTT of the W3C; a voice tag ``<v Name>`` is the speaker, other tags are removed.

A cue of several voices is a turn of each, with the times of the cue. Cues of no length, which
Whisper writes at the end of its windows, are counted.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from data_prep.errors import CodedError
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

_HEADER = re.compile(r"WEBVTT(?:[ \t].*)?")
# A voice, or the end of one: what follows is of nobody that is named.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]*)>|</v>")
_FORM = "a line as 00:00:01.500 --> 00:00:03.000 before its text"
_TAG = re.compile(r"<[^<>]*>")
_OTHER_BLOCK = re.compile(r"(NOTE|STYLE|REGION)(?:\s|$)")


def read(request: Request) -> Segmentation:
    """Read the cues as turns."""
    text = request.text().removeprefix("\ufeff")
    if not _HEADER.fullmatch(text.partition("\n")[0]):
        raise CodedError(
            f"{request.path}: line 1: is not WEBVTT; begin the file with that line", "vtt-invalid"
        )
    skipped: Counter[str] = Counter()
    turns: list[Turn] = []
    for first, lines in blocks(text):
        if first == 1:  # the header, and what belongs to it
            _check_header(request, lines)
            continue
        if (other := _OTHER_BLOCK.match(lines[0])) and ARROW not in lines[0]:
            skipped[f"{other[1]} blocks"] += 1
            continue
        cue = list(_cue(request, first, lines))
        if cue[0].start == cue[0].end:
            skipped[NO_LENGTH] += 1
            continue
        turns += cue
    return Segmentation(request.path, turns, without_zero(skipped))


def _check_header(request: Request, lines: Sequence[str]) -> None:
    for number, line in enumerate(lines, start=1):
        if ARROW in line:
            raise CodedError(
                f"{request.path}: line {number}: a cue follows the header at once; put an empty "
                "line between them",
                "vtt-invalid",
            )


def _cue(request: Request, first: int, lines: Sequence[str]) -> Iterator[Turn]:
    at = 0 if ARROW in lines[0] or len(lines) == 1 else 1
    number = first + at
    start, end = read_times(request.path, number, lines[at], _FORM)
    refuse_joined(request.path, number + 1, lines[at + 1 :])
    for speaker, text in _voices(" ".join(lines[at + 1 :])):
        yield Turn(start, end, speaker, text, f"line {number}")


def _voices(payload: str) -> list[tuple[str | None, str | None]]:
    """Return speaker and text of each voice of a cue, in order."""
    parts = _VOICE.split(payload)  # text, name, text, name, text, ...
    texts: dict[str | None, list[str]] = {}
    if before := _plain(parts[0]):
        texts[None] = [before]
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        words = _plain(text)
        if name is not None or words:
            texts.setdefault(_plain(name or "") or None, []).append(words)
    spoken = [(name, " ".join(filter(None, words)) or None) for name, words in texts.items()]
    return spoken or [(None, None)]


def _plain(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return the cues; a label is in brackets before its text."""
    cues = ["WEBVTT\n\n"]
    for turn, label in zip(turns, labels, strict=True):
        voice = f"<v {_escaped(turn.speaker)}>" if turn.speaker else ""
        words = " ".join(filter(None, [f"[{label}]" if label else "", turn.text]))
        text = f"{voice}{_escaped(words)}"
        times = f"{format_clock(turn.start, '.')} {ARROW} {format_clock(turn.end, '.')}"
        cues.append(f"{times}\n{text}\n\n" if text else f"{times}\n\n")
    return "".join(cues)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
