"""The votes of annotators as the truth of a distribution over labels."""

from collections.abc import Sequence

import numpy as np

from data_prep.manifest.table import codes
from data_prep.manifest.votes import OTHER, parse_votes
from data_prep.schema import Utterance


def unknown_votes(rows: Sequence[Utterance], labels: Sequence[str]) -> tuple[int, str] | None:
    """Return the first row with votes for what is neither of `labels` nor `OTHER`, and for what.

    None if there is none.
    """
    known = {*labels, OTHER}
    number_of, cells = codes(rows, "votes")
    foreign = {
        number: [name for name in parse_votes(cell) if name not in known]
        for number, cell in enumerate(cells)
    }
    at_fault = np.isin(number_of, [number for number, names in foreign.items() if names])
    if not at_fault.any():
        return None
    row = int(at_fault.argmax())
    return row, foreign[int(number_of[row])][0]


def vote_shares(rows: Sequence[Utterance], labels: Sequence[str]) -> np.ndarray:
    """Return the share of each label among the votes of each row for these labels.

    Votes for `OTHER` do not count, unless it is one of the labels: the shares of the others add up
    to 1.

    >>> vote_shares([Utterance("a", votes="angry:2 sad:1 other:3")], ["sad", "angry", "happy"])
    array([[0.33333333, 0.66666667, 0.        ]])

    Args:
        rows: N rows of a manifest.
        labels: K names.

    Returns:
        (N, K) float64; NaN if there is no vote for any of the labels.
    """
    number_of, cells = codes(rows, "votes")
    shares = np.full((len(cells) + 1, len(labels)), np.nan)  # the last is of rows without votes
    for number, cell in enumerate(cells):
        votes = parse_votes(cell)
        counts = np.array([votes.get(name, 0.0) for name in labels], dtype=np.float64)
        if (total := counts.sum()) > 0:
            shares[number] = counts / total
    return shares[number_of]
