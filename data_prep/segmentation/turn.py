"""A turn of a recording, and the turns that one file gives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from data_prep.errors import CodedError
from data_prep.manifest.cells import id_key

# Bounded, so that no number has more digits than a time may have.
_NUMBER = re.compile(r"(?:\d{1,15}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][+-]?\d{1,2})?", re.ASCII)
_LONGEST = Decimal(10**9)  # seconds
_ROUNDING = Decimal("0.01")  # of times
_CHANNEL = re.compile(r"[1-9]\d?", re.ASCII)
_CUT = f"ends of turns (at most {_ROUNDING} s) within the next turn of their speaker"


@dataclass(frozen=True, slots=True)
class Turn:
    """Part of a recording, in which one speaker speaks.

    Attributes:
        start: in seconds, with the decimals of the file.
        end: in seconds.
        speaker: who speaks; None where that is not known.
        text: what is said; None where that is not known.
        where: line or element of the file that it comes from, for messages.
        channel: number of the channel of the recording that it is spoken on, from 1; None: all.
        label: in the tier of labels of its tier, in formats with tiers; None where there is none.
    """

    start: Decimal
    end: Decimal
    speaker: str | None = None
    text: str | None = None
    where: str = ""
    channel: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class Segmentation:
    """The turns of one recording.

    Attributes:
        path: the file that they come from.
        turns: in order of start and end.
        skipped: what the file has beside them, with counts.
        notes: what was chosen in reading, to be printed.
    """

    path: Path
    turns: Sequence[Turn]
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()


def parse_decimal(text: str) -> Decimal:
    """Return a time in seconds, exactly.

    Raises:
        ValueError: it is no such time; the message is what it is instead.

    >>> parse_decimal("0.10")
    Decimal('0.10')
    """
    if text.startswith("-") and _NUMBER.fullmatch(text[1:]):
        raise ValueError(f"the time {text} is negative")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"the time {text[:40]!r} is no number of seconds")
    value = Decimal(text)
    if value > _LONGEST:
        raise ValueError(f"the time {text} is above {_LONGEST} s")
    return value


def plain_decimal(value: Decimal) -> str:
    """Return a number without an exponent.

    >>> plain_decimal(Decimal("1E+2")), plain_decimal(Decimal("9.5e-7"))
    ('100', '0.00000095')
    """
    return f"{value:f}"


def on_channels(
    path: Path, turns: Sequence[Turn], names: Sequence[str | None]
) -> tuple[list[Turn], list[str]]:
    """Return turns on the channels of these names, and a note of them.

    Where the turns of a recording are on several channels, each is on its own alone. Where all are
    on one, as most programs write it, they are of all channels.

    Raises:
        CodedError: there are several, and one of them is no number from 1 on.
    """
    different = sorted({name for name in names if name is not None})
    if len(different) < 2:
        return list(turns), []
    placed = []
    for turn, name in zip(turns, names, strict=True):
        if name is not None and not _CHANNEL.fullmatch(name):
            raise CodedError(
                f"{path}: {_place(turn)}: the channel is {name[:40]!r}, beside "
                f"{next(other for other in different if other != name)[:40]!r}; number the "
                "channels of the recording from 1",
                "channel-invalid",
            )
        placed.append(replace(turn, channel=None if name is None else int(name)))
    numbers = ", ".join(map(str, sorted(map(int, different))))
    return placed, [f"channels {numbers}, each with its turns"]


def check_turns(path: Path, turns: Sequence[Turn]) -> tuple[list[Turn], dict[str, int]]:
    """Return turns in order of time, and what was cut of them, with counts.

    Some programs round times to hundredths of a second: a turn that ends at most .01 s after the
    next one of its speaker begins is cut there. Names of speakers are composed (NFC): two forms of
    one name are one speaker.

    Raises:
        CodedError: there are none; one does not end after its start; two of one speaker overlap.
    """
    if not turns:
        raise CodedError(
            f"{path}: has no turn; check that it is the right file and tier", "turns-missing"
        )
    ordered = sorted(map(_composed, turns), key=lambda turn: (turn.start, turn.end))
    last: dict[str, int] = {}  # number of the turn of a speaker that ends last
    overlaps: list[tuple[Turn, Turn]] = []
    n_cut = 0
    for number, turn in enumerate(ordered):
        if turn.end <= turn.start:
            raise CodedError(
                f"{path}: {_place(turn)}: the end {plain_decimal(turn.end)} is not after the start "
                f"{plain_decimal(turn.start)}; correct the times",
                "turn-times-invalid",
            )
        if turn.speaker is None:
            continue
        number_before = last.get(turn.speaker, number)
        before = ordered[number_before]
        if number_before != number and turn.start < before.end:
            if before.start < turn.start and before.end - turn.start <= _ROUNDING:
                ordered[number_before] = replace(before, end=turn.start)
                n_cut += 1
            else:
                overlaps.append((before, turn))
        if turn.end >= ordered[number_before].end:
            last[turn.speaker] = number
    if overlaps:
        raise _overlap_error(path, overlaps)
    return ordered, {_CUT: n_cut} if n_cut else {}


def _composed(turn: Turn) -> Turn:
    return turn if turn.speaker is None else replace(turn, speaker=id_key(turn.speaker))


def _overlap_error(path: Path, overlaps: Sequence[tuple[Turn, Turn]]) -> CodedError:
    before, turn = overlaps[0]
    further = f" (the first of {len(overlaps)} overlaps)" if len(overlaps) > 1 else ""
    return CodedError(
        f"{path}: {_place(turn)}: the turn from {plain_decimal(turn.start)} s of "
        f"{turn.speaker!r} overlaps that of {_place(before)}, which ends at "
        f"{plain_decimal(before.end)} s{further}; cut one of them, or give it to another speaker",
        "turns-overlap",
    )


def _place(turn: Turn) -> str:
    """Return where a turn is in its file; one that is from no file is named by its start."""
    return turn.where or f"the turn at {plain_decimal(turn.start)} s"
