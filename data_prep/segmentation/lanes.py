"""Turns by speaker, in lanes without overlap, as the tiers of annotation tools need them."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from data_prep.segmentation.turn import Turn


@dataclass
class Lane:
    """Turns of one speaker that do not overlap, with their labels."""

    speaker: str | None
    turns: list[Turn] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)


def label_tier(tier: str) -> str:
    """Return the name of the tier that holds the labels of a tier."""
    return f"{tier} (emotion)".lstrip()


def lanes_of(turns: Sequence[Turn], labels: Sequence[str | None]) -> list[Lane]:
    """Return the lanes, in order of first turns.

    A speaker has one lane; turns without a speaker may overlap, and then have several.
    """
    lanes: list[Lane] = []
    free: dict[str | None, list[tuple[Decimal, int]]] = {}  # (end, lane), the first to end first
    for turn, label in zip(turns, labels, strict=True):
        ends = free.setdefault(turn.speaker, [])
        if ends and ends[0][0] <= turn.start:
            _, number = heapq.heappop(ends)
        else:
            number = len(lanes)
            lanes.append(Lane(turn.speaker))
        lanes[number].turns.append(turn)
        lanes[number].labels.append(label)
        heapq.heappush(ends, (turn.end, number))
    return lanes
