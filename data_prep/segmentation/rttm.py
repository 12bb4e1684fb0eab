"""RTTM, the Rich Transcription Time Marked format of NIST, which diarization writes.

A line is of ten fields: type, file, channel, onset, duration, orthography, subtype, speaker,
confidence, lookahead time. Blanks divide them, and so no name holds any. ``SPEAKER`` lines are
turns. A label is written as the subtype. Where the turns of a recording are on several channels,
counted from 1, each is on its own alone; where all are on one, as most programs write it, they are
of all channels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from data_prep.errors import CodedError
from data_prep.segmentation.request import Request, without_zero
from data_prep.segmentation.turn import (
    Segmentation,
    Turn,
    on_channels,
    parse_decimal,
    plain_decimal,
)

_MISSING = "<NA>"
_LEAST_FIELDS, _MOST_FIELDS = 8, 10  # up to the speaker; what follows is often left out
_CONFIDENCE = re.compile(r"<.*>|[^a-zA-Z]*|\d.*", re.ASCII)
_BLANKS = re.compile("[ \t]+")  # a name may hold other white space, such as U+00A0
_OTHER_TYPES = re.compile(
    "SEGMENT|NOSCORE|NO_RT_METADATA|LEXEME|NON-LEX|NON-SPEECH|FILLER|EDIT|SU|IP|CB|A/P|SPKR-INFO"
)


def read(request: Request) -> Segmentation:
    """Read the turns of one recording."""
    rows = list(_rows(request))
    chosen, notes = request.choose_recording({file for file, _, _ in rows if file is not None})
    skipped: Counter[str] = Counter()
    turns: list[Turn] = []
    channels: list[str | None] = []
    for file, kind, turn in rows:
        if turn is None:
            skipped[f"lines of {kind}"] += 1
        elif file in chosen:
            turns.append(turn)
            channels.append(None if kind == _MISSING else kind)
        else:
            skipped["turns of other recordings"] += 1
    turns, of_channels = on_channels(request.path, turns, channels)
    return Segmentation(request.path, turns, without_zero(skipped), [*notes, *of_channels])


def _rows(request: Request) -> Iterator[tuple[str | None, str, Turn | None]]:
    """Yield recording, channel and turn of each turn; of other lines None, the type and None."""
    for number, line in enumerate(request.text().split("\n"), start=1):
        fields = list(filter(None, _BLANKS.split(line)))
        if not fields or fields[0].startswith(";"):
            continue
        at = f"{request.path}: line {number}"
        if fields[0] != "SPEAKER":
            if not _OTHER_TYPES.fullmatch(fields[0]):
                raise CodedError(
                    f"{at}: {fields[0][:40]!r} is no type of RTTM; begin turns with SPEAKER",
                    "rttm-invalid",
                )
            yield None, fields[0], None
            continue
        if len(fields) < _LEAST_FIELDS:
            raise CodedError(
                f"{at}: has {len(fields)} fields; write SPEAKER file channel onset duration <NA> "
                "<NA> speaker <NA> <NA>",
                "rttm-invalid",
            )
        is_divided = any(not _CONFIDENCE.fullmatch(field) for field in fields[8:9])
        if is_divided or len(fields) > _MOST_FIELDS:
            raise CodedError(
                f"{at}: has {len(fields)} fields, of which the ninth, a confidence, is "
                f"{fields[8][:40]!r}; write _ for the blanks in names",
                "rttm-invalid",
            )
        try:
            start, duration = parse_decimal(fields[3]), parse_decimal(fields[4])
        except ValueError as error:
            raise CodedError(f"{at}: {error}; correct it", "time-invalid") from None
        speaker = None if fields[7] == _MISSING else fields[7]
        yield fields[1], fields[2], Turn(start, start + duration, speaker, None, f"line {number}")


def write(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> str:
    """Return the lines of turns; blanks in names become ``_``, and texts are not written."""
    return "".join(_lines(turns, labels, recording))


def _lines(turns: Sequence[Turn], labels: Sequence[str | None], recording: str) -> Iterable[str]:
    name = _field(recording.rpartition(".")[0] or recording)
    for turn, label in zip(turns, labels, strict=True):
        start, duration = plain_decimal(turn.start), plain_decimal(turn.end - turn.start)
        yield (
            f"SPEAKER {name} {turn.channel or 1} {start} {duration} {_MISSING} {_field(label)} "
            f"{_field(turn.speaker)} {_MISSING} {_MISSING}\n"
        )


def _field(value: str | None) -> str:
    return "_".join((value or "").split()) or _MISSING
