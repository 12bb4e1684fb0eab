"""Divide groups of rows into folds that are alike in size, or in the distribution of a label."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence


def balance_rows(sizes: Mapping[str, int], n_folds: int) -> dict[str, int]:
    """Return the fold of each group, so that folds have like numbers of rows.

    The largest group comes first, and each goes to the emptiest fold; groups of one size come in
    the order of `sizes`, so that equal ones are dealt out in turn.

    >>> balance_rows({"a": 2, "b": 5, "c": 2, "d": 1}, 2)
    {'b': 0, 'a': 1, 'c': 1, 'd': 1}
    """
    load = [0] * n_folds
    fold_of = {}
    for group in sorted(sizes, key=lambda group: -sizes[group]):  # stable
        fold_of[group] = load.index(min(load))
        load[fold_of[group]] += sizes[group]
    return fold_of


def balance_labels(
    groups: Sequence[str], labels: Sequence[str | None], n_folds: int, seed: int | None = None
) -> dict[str, int]:
    """Return the fold of each group, so that folds have like numbers of rows of each label.

    By scikit-learn's StratifiedGroupKFold; rows without a label count as a label of their own.

    Args:
        groups: the group of each row.
        labels: the label of each row.
        n_folds: number of folds.
        seed: of the order of groups that are alike; None for that of their names.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    names = [label or "" for label in labels]
    splitter = StratifiedGroupKFold(n_folds, shuffle=seed is not None, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a label in fewer rows than folds
        parts = list(splitter.split(names, names, list(groups)))
    return {groups[row]: fold for fold, (_, rows) in enumerate(parts) for row in rows.tolist()}
