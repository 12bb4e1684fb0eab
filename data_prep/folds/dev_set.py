"""Draw the speakers of a dev set from the training side.

Whole groups (speakers; dialogues or rows where speakers are unknown) are drawn so that the dev set
has the requested share of rows, the training side's share of each gender, if known, and a similar
distribution of labels. Many sets are drawn by a seed; one of those nearly as good as the best is
used.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from data_prep.errors import CodedError
from data_prep.schema import LABEL_COLUMNS, Utterance

GENDER = "gender"  # a column of its own in the manifest: female, male
_GENDERS = {"f": "female", "m": "male", "w": "female", "woman": "female", "man": "male"}
_N_DRAWN = (50, 1000)  # sets, at least and at most
_N_WORK = 20_000  # sets times groups
_NEAR = 0.01  # how much worse than the best an equally acceptable set may be
_REUSE = 0.05  # cost of a group that was in the dev set of another fold


def gender_of(row: Utterance) -> str | None:
    """Return ``female``, ``male``, or another value of the column `gender`; None if empty.

    >>> gender_of(Utterance("a", extra={"gender": "F"}))
    'female'
    """
    value = row.extra.get(GENDER, "").strip().lower()
    return _GENDERS.get(value, value) or None


Key = TypeVar("Key")


@dataclass
class _Group:
    """The rows that are divided together: how many, their labels and their speaker's gender."""

    rows: int = 0
    labels: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    gender: str | None = None


def _groups(rows: Sequence[Utterance], names: Sequence[str]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for row, name in zip(rows, names, strict=True):
        group = groups.setdefault(name, _Group())
        group.rows += 1
        group.labels.update((column, getattr(row, column)) for column in LABEL_COLUMNS)
        group.gender = group.gender or gender_of(row)
    return {name: groups[name] for name in sorted(groups)}


def draw_dev_set(
    rows: Sequence[Utterance],
    names: Sequence[str],
    share: float,
    draw: random.Random,
    earlier: Collection[frozenset[str]] = (),
) -> frozenset[str]:
    """Return the names of the groups that make up a dev set.

    Args:
        rows: the training side: all rows that are not tested.
        names: the group of each row.
        share: of the rows, in the dev set; approximated by whole groups.
        draw: source of randomness.
        earlier: dev sets of other folds, which are avoided if another set has as good a balance of
            genders; other groups are preferred.

    Raises:
        ValueError: a share that leaves nothing for train or dev, or fewer than two groups.
    """
    if not 0 < share < 1:
        raise CodedError(
            f"a dev set with a share of {share:g} leaves no train or no dev rows; give a share "
            "between 0 and 1",
            "share-out-of-range",
        )
    groups = _groups(rows, names)
    if len(groups) < 2:
        raise CodedError(f"{len(groups)} groups are too few for train and valid", "groups-too-few")
    candidates = list(dict.fromkeys(_candidates(groups, share, draw)))
    imbalances = [_imbalance(groups, chosen) for chosen in candidates]
    balanced = [
        chosen
        for chosen, imbalance in zip(candidates, imbalances, strict=True)
        if imbalance <= min(imbalances) + _NEAR
    ]
    fresh = [chosen for chosen in balanced if chosen not in earlier] or balanced
    times = Counter(name for chosen in earlier for name in chosen)
    costs = [_cost(groups, chosen, share, times) for chosen in fresh]
    best = min(costs)
    near = [chosen for chosen, cost in zip(fresh, costs, strict=True) if cost <= best + _NEAR]
    return draw.choice(near)


def _candidates(
    groups: Mapping[str, _Group], share: float, draw: random.Random
) -> Iterator[frozenset[str]]:
    """Yield random sets, each as close to the share of rows as its order allows."""
    wanted = share * sum(group.rows for group in groups.values())
    fewest, most = _N_DRAWN
    for _ in range(min(most, max(fewest, _N_WORK // len(groups)))):
        order = list(groups)
        draw.shuffle(order)
        chosen: list[str] = []
        n = 0
        for name in order[:-1]:
            if chosen and abs(n + groups[name].rows - wanted) > abs(n - wanted):
                break
            chosen.append(name)
            n += groups[name].rows
        yield frozenset(chosen)


def _imbalance(groups: Mapping[str, _Group], chosen: frozenset[str]) -> float:
    """Return the largest difference between a gender's shares of the chosen and of all rows."""
    of_all = Counter(group.gender for group in groups.values() if group.gender)
    of_chosen = Counter(gender for name in chosen if (gender := groups[name].gender))
    return _largest_difference(of_chosen, of_all)


def _cost(
    groups: Mapping[str, _Group], chosen: frozenset[str], share: float, times: Counter[str]
) -> float:
    """Return the distance in share of rows and in labels, plus a penalty for reused groups."""
    n, n_all = (sum(groups[name].rows for name in names) for names in (chosen, groups))
    of_chosen: Counter[tuple[str, str | None]] = Counter()
    of_all: Counter[tuple[str, str | None]] = Counter()
    for name, group in groups.items():
        of_all.update(group.labels)
        if name in chosen:
            of_chosen.update(group.labels)
    reuse = sum(times[name] for name in chosen) / len(chosen)
    return abs(n / n_all - share) + _largest_difference(of_chosen, of_all) + _REUSE * reuse


def _largest_difference(part: Counter[Key], of_all: Counter[Key]) -> float:
    """Return the largest difference between a value's shares in two counts; 0 for empty counts."""
    n, n_all = part.total(), of_all.total()
    if not n_all:
        return 0.0
    return max(abs((part[key] / n if n else 0.0) - of_all[key] / n_all) for key in of_all)
