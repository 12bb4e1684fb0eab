"""The votes of annotators as the truth of a distribution over labels."""

from collections.abc import Sequence

import numpy as np

from data_prep.manifest.votes import OTHER, parse_votes
from data_prep.schema import Utterance


def unknown_votes(row: Utterance, labels: Sequence[str]) -> list[str]:
    """Return the labels that a row has votes for, and that are neither of `labels` nor `OTHER`."""
    votes = parse_votes(row.votes) if row.votes else {}
    return [name for name in votes if name not in labels and name != OTHER]


def vote_shares(row: Utterance, labels: Sequence[str]) -> np.ndarray:
    """Return the share of each label among the votes for these labels.

    Votes for `OTHER` do not count, unless it is one of the labels: the shares of the others add up
    to 1.

    >>> vote_shares(Utterance("a", votes="angry:2 sad:1 other:3"), ["sad", "angry", "happy"])
    array([0.33333333, 0.66666667, 0.        ])

    Args:
        row: of a manifest.
        labels: K names.

    Returns:
        (K,) float64; NaN if there is no vote for any of the labels.
    """
    votes = parse_votes(row.votes) if row.votes else {}
    counts = np.array([votes.get(name, 0.0) for name in labels], dtype=np.float64)
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(labels), np.nan)
