"""What single annotators gave: their votes under the labels of a class map, and their ratings.

Corpora release, beside the consensus of a row, what each annotator chose and how each rated
valence, arousal and dominance. The manifest keeps the votes, and of the ratings the number of
annotators and the standard deviation on each axis; their mean is the row's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import pstdev
from typing import Any

from data_prep.manifest.votes import OTHER, count_choices, format_votes
from data_prep.schema import AXES, Corpus, Utterance

_DIGITS = 6


def votes_cell(choices: Iterable[Iterable[str]], classes: Mapping[str, str]) -> str | None:
    """Return the cell `votes` of a row; None without annotators.

    >>> votes_cell([["hap"], ["hap", "exc"], ["fru"]], {"hap": "happy", "exc": "happy"})
    'happy:2 other:1'

    Args:
        choices: the labels that each annotator chose, as the corpus names them.
        classes: the class of a label; a label without one counts as `OTHER`.
    """
    named = ([classes.get(label, OTHER) for label in chosen] for chosen in choices)
    return format_votes(count_choices(named))


def describe_ratings(
    ratings: Sequence[Mapping[str, float]], scale: tuple[float, float]
) -> dict[str, Any]:
    """Return the columns of a manifest that describe the annotators' ratings of a row.

    >>> describe_ratings([{"valence": 2.0}, {"valence": 4.0}], (1.0, 5.0))
    {'n_annotators': 2, 'valence_sd': 0.25}

    Args:
        ratings: of each annotator, by axis, on the corpus's own scale. One that is NaN or outside
            the scale is left out.
        scale: its ends.

    Returns:
        The number of annotators with a rating, and the population standard deviation on each axis,
        on the scale from 0 to 1; empty without ratings.
    """
    low, high = scale
    valid = [
        {axis: x for axis, x in of_one.items() if not math.isnan(x) and low <= x <= high}
        for of_one in ratings
    ]
    raters = [of_one for of_one in valid if of_one]
    if not raters:
        return {}
    columns: dict[str, Any] = {"n_annotators": len(raters)}
    for axis in AXES:
        if values := [of_one[axis] for of_one in raters if axis in of_one]:
            columns[f"{axis}_sd"] = round(pstdev(values) / (high - low), _DIGITS)
    return columns


def note_votes(rows: Sequence[Utterance], corpus: Corpus) -> None:
    """Note how many rows have votes and no class, which the soft target can be trained on."""
    voted = [row for row in rows if row.votes is not None]
    if without := sum(row.emotion is None for row in voted):
        corpus.notes.append(
            f"{len(voted)} rows have annotators' votes, {without} of them without a class (no "
            "agreement, or a majority for what is no class): --target emotion_distribution can be "
            "trained on these, too"
        )
