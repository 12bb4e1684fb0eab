"""Arithmetic on rows that belong to groups."""

import numpy as np


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """How many rows of the same group stand before each row.

    >>> rank_in_group(np.array([7, 3, 7, 7, 3]))
    array([0, 0, 1, 2, 1])

    Args:
        groups: (N,) group numbers.

    Returns:
        (N,) int64.
    """
    by_group = np.argsort(groups, kind="stable")
    together = groups[by_group]
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.searchsorted(together, together)
    return ranks
