"""Simulated annotators of the toy corpus, who disagree about what they perceive.

Every annotator perceives the log-odds of valence and of arousal that an utterance shows, each with
noise of their own, and votes for the quadrant that they perceive:

| | log-odds that the utterance shows |
|---|---|
| valence | those of the words' cue: right more often than wrong, 0 without a cue |
| arousal | `AROUSAL` towards what the voice shows |

So a vote is for positive valence with probability `cdf(log-odds / NOISE)` of the normal
distribution, and likewise for high arousal, independently: the shares of votes that a model can
expect are known, and with them the lowest cross-entropy to the votes. The emotion of a row is the
majority of its votes; a tie is no agreement.

Each also rates valence, arousal and dominance, the true values plus noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import NormalDist, fmean
from typing import Any

import numpy as np

from data_prep.corpora.annotators import describe_ratings
from data_prep.corpora.toy_draws import (
    P_AMBIGUOUS,
    P_FLIPPED,
    QUADRANTS,
    SENTIMENTS,
    Draw,
)
from data_prep.corpora.toy_voice import Rng
from data_prep.errors import CodedError
from data_prep.manifest.votes import format_votes, majority
from data_prep.schema import AXES, Utterance

VALENCE = math.log((1 - P_FLIPPED - P_AMBIGUOUS) / P_FLIPPED)  # log-odds of a cue
AROUSAL = 3.0  # the voice is never wrong: log-odds that annotators perceive
NOISE = 2.5  # standard deviation of what an annotator perceives
RATING_NOISE = 0.15  # standard deviation of a rating, on the scale from 0 to 1
FEWEST = 2

_OF_QUADRANT = {signs: emotion for emotion, signs in QUADRANTS.items()}
_NORMAL = NormalDist()


def check_annotators(n: int, dialogues: bool) -> None:
    """Refuse a number of annotators that cannot disagree, or beside dialogues.

    Raises:
        CodedError: a single annotator, or emotions that single turns do not determine.
    """
    if n and n < FEWEST:
        raise CodedError(f"--annotators {n}: give {FEWEST} or more", "annotators-too-few")
    if n and dialogues:
        raise CodedError(
            f"--annotators {n}: annotators rate single utterances, and with --dialogues emotions "
            "depend on the turns before; leave one of the two out",
            "options-conflict",
        )


def annotate(row: Utterance, draw: Draw, n: int, rng: Rng) -> Utterance:
    """Return a row with the votes and ratings of `n` annotators in place of what was drawn.

    The column `true_emotion` keeps the emotion that was drawn.
    """
    shown = [_log_odds(draw.cue), AROUSAL if draw.aroused else -AROUSAL]
    perceived = rng.normal(shown, NOISE, (n, 2))
    votes: dict[str, float] = {}
    for positive, aroused in (perceived > 0).tolist():
        emotion = _OF_QUADRANT[positive, aroused]
        votes[emotion] = votes.get(emotion, 0.0) + 1.0
    true = [getattr(row, axis) for axis in AXES]
    ratings = np.clip(rng.normal(true, RATING_NOISE, (n, len(AXES))), 0.0, 1.0).round(4).tolist()
    by_axis = [dict(zip(AXES, of_one, strict=True)) for of_one in ratings]
    label = majority(votes)
    means = {axis: round(fmean(of_one[axis] for of_one in by_axis), 6) for axis in AXES}
    columns: dict[str, Any] = {**means, **describe_ratings(by_axis, (0.0, 1.0))}
    return replace(
        row,
        emotion=label,
        sentiment=None if label is None else SENTIMENTS[QUADRANTS[label][0]],
        votes=format_votes(votes),
        **columns,
        extra={**row.extra, "true_emotion": draw.emotion},
    )


def _log_odds(cue: bool | None) -> float:
    return 0.0 if cue is None else VALENCE if cue else -VALENCE


def lowest_cross_entropies() -> Mapping[str, float]:
    """Return the lowest expected cross-entropy to the votes, in nats, from text, speech and both.

    It is the mean entropy of the shares that are expected from what a model reads. Of valence and
    arousal, which votes choose independently, each adds its own: that of what is not read is ln 2.
    """
    cued, voiced = (_entropy(_NORMAL.cdf(x / NOISE)) for x in (VALENCE, AROUSAL))
    of_words = (1 - P_AMBIGUOUS) * cued + P_AMBIGUOUS * math.log(2)
    unknown = math.log(2)
    return {"text": of_words + unknown, "speech": unknown + voiced, "both": of_words + voiced}


def _entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def describe_annotators(n: int, splits: Mapping[str, list[Utterance]]) -> list[str]:
    """Return the card's notes on the annotators."""
    lowest = ", ".join(f"{name} {value:.4f}" for name, value in lowest_cross_entropies().items())
    ties = ", ".join(
        f"{sum(row.emotion is None for row in rows)} of {split}" for split, rows in splits.items()
    )
    about = (
        f"{n} simulated annotators (toy_annotators.py: how): emotion is their majority, "
        f"true_emotion what was drawn; rows without agreement: {ties}"
    )
    return [about, f"lowest expected cross-entropy to the votes, nats: {lowest}"]
