"""Which speakers make up a dev set that is cut from the training side.

Whole groups (speakers, where unknown dialogues, where those are unknown rows) are drawn so that the
dev set has the requested share of rows, as large a share of women as the training side
has, where genders are known, and like labels. Many sets are drawn by a seed; of those that fit
nearly as well as the best, one is taken.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from data_prep.manifest.records import LABEL_COLUMNS, Utterance

GENDER = "gender"  # a column of its own in the manifest: female, male
_GENDERS = {"f": "female", "m": "male", "w": "female", "woman": "female", "man": "male"}
_N_DRAWN = (50, 1000)  # sets, at least and at most
_N_WORK = 20_000  # sets times groups
_NEAR = 0.01  # how much worse than the best a set may fit that is taken in its place
_REUSE = 0.05  # what it costs that a group was in the dev set of another fold


def gender_of(row: Utterance) -> str | None:
    """Return ``female``, ``male``, or what else the column `gender` holds; None without one.

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
        rows: of the training side, all that is not tested.
        names: the group of each row.
        share: of the rows that the dev set is to have; whole groups come as near as they can.
        draw: the same state draws the same groups.
        earlier: dev sets of other folds: the same set is not taken again where another one has as
            good a balance of genders, and other groups are preferred.

    Raises:
        ValueError: a share that leaves nothing for train or dev, or fewer than two groups.
    """
    if not 0 < share < 1:
        raise ValueError(f"a dev set with a share of {share:g} leaves no train or no dev rows")
    groups = _groups(rows, names)
    if len(groups) < 2:
        raise ValueError(f"{len(groups)} groups are too few for train and valid")
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
    """Random sets, each as near to the share of rows as its order allows."""
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
    """The largest difference between a gender's share of the chosen and of all; 0 if unknown."""
    of_all = Counter(group.gender for group in groups.values() if group.gender)
    found = Counter(gender for name in chosen if (gender := groups[name].gender))
    return _largest_difference(found, of_all)


def _cost(
    groups: Mapping[str, _Group], chosen: frozenset[str], share: float, times: Counter[str]
) -> float:
    """Distances in share of rows and in labels, and how often its groups were chosen before."""
    n, n_all = (sum(groups[name].rows for name in names) for names in (chosen, groups))
    found: Counter[tuple[str, str | None]] = Counter()
    of_all: Counter[tuple[str, str | None]] = Counter()
    for name, group in groups.items():
        of_all.update(group.labels)
        if name in chosen:
            found.update(group.labels)
    reuse = sum(times[name] for name in chosen) / len(chosen)
    return abs(n / n_all - share) + _largest_difference(found, of_all) + _REUSE * reuse


def _largest_difference(found: Counter[Key], of_all: Counter[Key]) -> float:
    """Between the shares of a value in two counts; 0 where nothing is counted at all."""
    n, n_all = found.total(), of_all.total()
    if not n_all:
        return 0.0
    return max(abs((found[key] / n if n else 0.0) - of_all[key] / n_all) for key in of_all)
