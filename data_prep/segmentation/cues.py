"""Cues of subtitles: the blocks of a file, and their times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

from data_prep.errors import CodedError

_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,2}):(\d{2})[.,](\d{1,3})", re.ASCII)
ARROW = "-->"
NO_LENGTH = "cues of no length"


def parse_clock(text: str) -> Decimal:
    """Return a time of subtitles in seconds.

    >>> parse_clock("01:02:03,450"), parse_clock("00:01.5")
    (Decimal('3723.450'), Decimal('1.5'))

    Raises:
        ValueError: it is no such time.
    """
    match = _CLOCK.fullmatch(text)
    if match is None or int(match[2]) > 59 or int(match[3]) > 59:
        raise ValueError(f"the time {text[:40]!r} is not of the form 00:01:02.500")
    seconds = int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])
    return Decimal(f"{seconds}.{match[4]}")


def parse_times(line: str) -> tuple[Decimal, Decimal]:
    """Return start and end of a cue; what follows the end are settings of its place.

    Raises:
        ValueError: a time is invalid.
    """
    start, _, rest = line.partition(ARROW)
    end = rest.split()[:1]
    if not end:
        raise ValueError("the end of the cue is missing")
    return parse_clock(start.strip()), parse_clock(end[0])


def read_times(path: Path, number: int, line: str, form: str) -> tuple[Decimal, Decimal]:
    """Return start and end of a cue of a file.

    Raises:
        CodedError: the line holds no times, or invalid ones.
    """
    if ARROW not in line:
        raise CodedError(
            f"{path}: line {number}: {line.strip()[:40]!r} is no time of a cue; write {form}",
            "cue-invalid",
        )
    try:
        return parse_times(line)
    except ValueError as error:
        raise CodedError(f"{path}: line {number}: {error}; correct it", "time-invalid") from None


def refuse_joined(path: Path, first: int, lines: Sequence[str]) -> None:
    """Refuse a cue whose text holds the times of another: no empty line is between them.

    Raises:
        CodedError: such a line.
    """
    for number, line in enumerate(lines, start=first):
        if ARROW not in line:
            continue
        try:
            parse_times(line)
        except ValueError:
            continue  # an arrow in the text
        raise CodedError(
            f"{path}: line {number}: another cue begins in the text of a cue; put an empty line "
            "between them",
            "cue-invalid",
        )


def format_clock(seconds: Decimal, mark: str) -> str:
    """Return a time of subtitles, rounded to milliseconds.

    >>> format_clock(Decimal("3723.45"), ",")
    '01:02:03,450'
    """
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{mark}{milliseconds:03}"


def blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield what is between empty lines, with the number of its first line.

    A line of blanks is an empty one before the times of a cue, or before its number and times.
    Elsewhere it is part of a text: subtitles that a program has recognized have such lines.
    """
    block: list[str] = []
    lines = [*text.split("\n"), ""]
    for number, line in enumerate(lines, start=1):
        next_lines = lines[number : number + 2]
        is_blank_text = block and line and not any(ARROW in other for other in next_lines)
        if line.strip() or is_blank_text:
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []
