"""Who must not be on two sides of a fold: groups of utterances that are divided whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from data_prep.manifest.records import Utterance

_NUMBER = re.compile(r"(\d+)")


def group_of(row: Utterance) -> tuple[str, str]:
    """Its speaker, if unknown its dialogue, if that is unknown itself: ("speaker", "Ses01_F")."""
    if row.speaker is not None:
        return "speaker", row.speaker
    return ("dialogue", row.dialogue) if row.dialogue is not None else ("row", row.id)


def in_order(values: Iterable[str | None]) -> list[str]:
    """The different values, numbers in them by size; None is left out.

    >>> in_order(["s10", "s9", None, "s9"])
    ['s9', 's10']
    """
    return sorted({value for value in values if value is not None}, key=_by_number)


def _by_number(value: str) -> tuple[list[str | int], str]:
    parts = _NUMBER.split(value)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], value


def circles(rows: Sequence[Utterance]) -> list[list[str]]:
    """Speakers who share dialogues, directly or by way of others, in order of their first names."""
    circle_of = {speaker: {speaker} for speaker in in_order(row.speaker for row in rows)}
    heard_first: dict[str, str] = {}
    for row in rows:
        if row.dialogue is None or row.speaker is None:
            continue
        ours = circle_of[row.speaker]
        theirs = circle_of[heard_first.setdefault(row.dialogue, row.speaker)]
        if ours is not theirs:
            ours |= theirs
            circle_of.update(dict.fromkeys(theirs, ours))
    unique = {id(circle): circle for circle in circle_of.values()}
    return [in_order(circle) for circle in unique.values()]


def partners_of(rows: Sequence[Utterance]) -> dict[str, set[str]]:
    """Speaker -> who else is in the speaker's only session, unless that is everybody.

    {} where one speaker is in several sessions, or in none that has a name.
    """
    sessions: dict[str, set[str | None]] = {}
    for row in rows:
        if row.speaker is not None:
            sessions.setdefault(row.speaker, set()).add(row.session)
    if any(len(found) > 1 or None in found for found in sessions.values()):
        return {}
    partners = {
        speaker: {other for other in sessions if other != speaker and sessions[other] == found}
        for speaker, found in sessions.items()
    }
    return {s: found for s, found in partners.items() if 0 < len(found) < len(sessions) - 1}
