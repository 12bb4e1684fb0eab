"""Which segments of one recording overlap: a pure function."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from data_prep.records import Utterance

SLACK = 0.001  # seconds by which rounded times of neighbors may overlap

Row = tuple[str, Utterance]  # a split, and one of its rows


def overlapping(rows: Iterable[Row]) -> Iterator[tuple[Row, Row]]:
    """Yield pairs of rows of one recording whose segments differ and overlap.

    Rows of the same segment are copies, which are not reported here: of those in one split only the
    first is paired with others. A whole file overlaps each of its segments.
    """
    segments: dict[tuple[float, float, str], Row] = {}
    for split, utterance in rows:
        end = math.inf if utterance.end is None else utterance.end
        segments.setdefault((utterance.start or 0.0, end, split), (split, utterance))
    still_open: list[tuple[float, float, Row]] = []
    for (start, end, _), row in sorted(segments.items(), key=lambda item: item[0]):
        still_open = [other for other in still_open if other[1] > start + SLACK]
        for other_start, other_end, other in still_open:
            if (other_start, other_end) != (start, end):
                yield other, row
        still_open.append((start, end, row))
