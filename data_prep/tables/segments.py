"""Segments in tables: times as seconds, and columns of times that nothing reads."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable

_SECONDS = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
# HH:MM:SS.fff, and as pandas and audformat write it: 0 days 00:00:01.500000
_CLOCK = re.compile(r"(?:(\d+) days?,? )?(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)")

SECONDS = "seconds (1.5), HH:MM:SS.fff or '0 days 00:00:01.5'"

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_START = {"start", "starts", "begin", "begins", "beginning", "onset", "xmin", "tmin"}
_END = {"end", "ends", "stop", "stops", "offset", "xmax", "tmax", "finish"}
_DURATION = {"duration", "dur", "length", "len"}
_SECONDS_WORDS = {"s", "sec", "secs", "second", "seconds"}
_OTHER_UNITS = {
    "ms",
    "msec",
    "msecs",
    "millis",
    "millisecond",
    "milliseconds",
    "us",
    "ns",
    "sample",
    "samples",
    "frame",
    "frames",
    "tick",
    "ticks",
}
_OTHER_WORDS = {
    "time",
    "times",
    "timestamp",
    "stamp",
    "t",
    "at",
    "in",
    "of",
    "the",
    "audio",
    "clip",
    "segment",
    "seg",
    "utterance",
    "utt",
    "turn",
    "speech",
    "sentence",
    "word",
    "phrase",
}


def parse_seconds(value: str) -> float:
    """Return a time as seconds. Raises ValueError for anything but the forms of `SECONDS`.

    Units are never guessed: 1500 is 1500 seconds, which no recording of a minute holds.

    >>> parse_seconds("1.5"), parse_seconds("00:01:02.25"), parse_seconds("0 days 00:00:00.400")
    (1.5, 62.25, 0.4)
    """
    if _SECONDS.fullmatch(value) and value.isascii():
        seconds = float(value)
        if math.isfinite(seconds):
            return seconds
    if (clock := _CLOCK.fullmatch(value)) and value.isascii():
        days, hours, minutes, rest = clock.groups()
        return (int(days or 0) * 24 + int(hours)) * 3600 + int(minutes) * 60 + float(rest)
    raise ValueError(value)


def time_field(column: str) -> str | None:
    """Return "start" or "end" if a column holds such times by its name.

    >>> time_field("StartTime"), time_field("onset"), time_field("end_ms"), time_field("gender")
    ('start', 'start', 'end', None)
    """
    words = _words(column)
    rest = words - _START - _END
    if rest - _SECONDS_WORDS - _OTHER_UNITS - _OTHER_WORDS:
        return None
    starts, ends = bool(words & _START), bool(words & _END)
    return None if starts == ends else "start" if starts else "end"


def other_units(columns: Iterable[str]) -> str | None:
    """Return what is wrong with columns of times: the name of one has another unit than seconds.

    In a long recording the segment from 500 to 999 ms is as well one from 500 to 999 s.

    >>> other_units(["start", "end_ms"])
    'the column end_ms is not in seconds by its name; convert it, and rename it'
    """
    for column in columns:
        if time_field(column) and _words(column) & _OTHER_UNITS:
            return f"the column {column} is not in seconds by its name; convert it, and rename it"
    return None


def _is_duration(column: str) -> bool:
    words = _words(column)
    rest = words - _DURATION - _SECONDS_WORDS - _OTHER_UNITS - _OTHER_WORDS
    return bool(words & _DURATION) and not rest


def _words(column: str) -> set[str]:
    words = (word.lower() for word in _WORDS.findall(column))
    # "starttime" is two words, too
    return {part for word in words for part in re.sub(r"(?<=.)(time|sec)", r" \1", word).split()}


def unread_times(
    columns: Collection[str],
    mapped: Collection[str],
    audio: Iterable[str | None],
) -> tuple[str, str, bool] | None:
    """Find columns of times that nothing reads: starts and ends, and durations beside a start.

    Args:
        columns: those of the table that nothing reads.
        mapped: of start and end the ones that a column is read for.
        audio: the audio path of each row.

    Returns:
        What there is, the remedy, and whether rows share an audio file: each of these would be the
        whole file. None without such columns.
    """
    option = "--column {field}={column}"
    fields = {time_field(column): column for column in columns}
    times = {field: fields[field] for field in ("start", "end") if field in fields}
    times = {field: column for field, column in times.items() if field not in mapped}
    if not times and "start" in mapped and "end" not in mapped:
        durations = [column for column in columns if _is_duration(column)]
        times = {"end": durations[0]} if durations else {}
        option = f"{option.format(field='end', column='COLUMN')}, a column of start + {{column}}"
    if not times:
        return None
    names = " and ".join(times.values())
    subject = f"the columns {names} are" if len(times) > 1 else f"the column {names} is"
    remedy = " ".join(option.format(field=field, column=col) for field, col in times.items())
    if any(_words(column) & _OTHER_UNITS for column in times.values()):
        remedy = f"{remedy} after converting them to seconds"
    path, count = next(iter(Counter(path for path in audio if path).most_common(1)), ("", 0))
    problem = f"{subject} not read"
    if count < 2:
        return f"{problem}: each row is a whole file", f"give {remedy} if rows are segments", False
    problem += f", while {count} rows share {path}: each of them would be the whole file"
    return problem, f"give {remedy}", True
