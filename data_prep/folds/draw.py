"""Draw splits of whole groups, as near to the requested shares of rows as the groups allow.

Few groups are divided in every possible way, many in a thousand random ones. Of the ways that are
within a hundredth of the nearest, a seed chooses one, so that another seed draws other groups
wherever the groups permit it. Of these none is chosen in which a small split misses much of its
share: eight speakers are 5, 2 and 1, and not 6, 1 and 1.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from data_prep.errors import CodedError
from data_prep.schema import TRAIN

NEAR = 0.01  # how much farther from the shares than the nearest a drawn way may be
_NEAR_OF_SHARE = 0.1  # how much more of its share a drawn split may miss than need be
COARSE = 0.03  # share of the rows by which a split may miss its own without a warning
_N_WAYS = 60_000  # so many are all tried: ten groups in three splits
_N_DRAWN = (1, 1000)  # random ways, at least and at most
_N_WORK = 200_000  # ways times groups

Shares = Mapping[str, float]
Way = tuple[int, ...]  # the position of each group's split


def draw_splits(sizes: Mapping[str, int], fractions: Shares, seed: int) -> dict[str, str]:
    """Draw the split of each group, so that every split has nearly its share of the rows.

    Args:
        sizes: rows of each group.
        fractions: the share of each split but train, which gets the rest; 0 for no such split.
        seed: of the draw.

    Returns:
        The split of each group; no split is empty.

    Raises:
        CodedError: shares that leave nothing for train, or fewer groups than splits.
    """
    shares = requested_shares(fractions)
    if len(sizes) < len(shares):
        raise CodedError(
            f"{len(sizes)} rows or groups are too few for {', '.join(shares)}; add rows, draw the "
            "splits by a smaller unit, such as row, or request fewer splits",
            "groups-too-few",
        )
    groups = sorted(sizes)
    draw = random.Random(seed)
    draw.shuffle(groups)
    rows = [sizes[group] for group in groups]
    wanted = [share * sum(rows) for share in shares.values()]
    is_small = len(wanted) ** len(groups) <= _N_WAYS
    ways = list(_every_way(rows, wanted) if is_small else _random_ways(rows, wanted, draw))
    distances = [_distance(way, rows, wanted) for way in ways]
    limit = min(distances) + NEAR * sum(rows)
    near = [way for way, d in zip(ways, distances, strict=True) if d <= limit]
    missed = [_missed_of_share(way, rows, wanted) for way in near]
    limit = min(missed) + _NEAR_OF_SHARE
    way = draw.choice([way for way, part in zip(near, missed, strict=True) if part <= limit])
    splits = list(shares)
    return {group: splits[position] for group, position in zip(groups, way, strict=True)}


def requested_shares(fractions: Shares) -> dict[str, float]:
    """Return the share of every split that is requested, train first.

    Raises:
        CodedError: shares that are negative, or leave nothing for train.

    >>> requested_shares({"test": 0.25, "valid": 0.0})
    {'train': 0.75, 'test': 0.25}
    """
    wanted = {split: share for split, share in fractions.items() if share}
    if not all(share > 0 for share in wanted.values()) or not sum(wanted.values()) < 1:  # NaN, too
        raise CodedError(
            f"the shares {dict(fractions)} leave nothing for train; give shares from 0 up, of a "
            "sum below 1",
            "share-out-of-range",
        )
    return {TRAIN: 1 - sum(wanted.values()), **wanted}


def _every_way(rows: Sequence[int], wanted: Sequence[float]) -> Iterator[Way]:
    """Yield each way to divide the groups that leaves no split empty."""
    splits = range(len(wanted))
    return (way for way in product(splits, repeat=len(rows)) if len(set(way)) == len(wanted))


def _random_ways(
    rows: Sequence[int], wanted: Sequence[float], draw: random.Random
) -> Iterator[Way]:
    """Yield random ways, each as near as its order of the groups allows."""
    fewest, most = _N_DRAWN
    for _ in range(min(most, max(fewest, _N_WORK // len(rows)))):
        order = list(range(len(rows)))
        draw.shuffle(order)
        yield _filled(rows, wanted, order)


def _filled(rows: Sequence[int], wanted: Sequence[float], order: Sequence[int]) -> Way:
    """Put each group, in this order, into the first split that it brings nearer; else into train.

    A split for which every group is too large gets the smallest group of train.
    """
    way = [0] * len(rows)
    filled = [0.0] * len(wanted)
    for group in order:
        for split in range(1, len(wanted)):
            if 2 * filled[split] + rows[group] < 2 * wanted[split]:  # nearer with it than without
                way[group] = split
                filled[split] += rows[group]
                break
    for split in range(1, len(wanted)):
        if not filled[split]:
            smallest = min((g for g in order if way[g] == 0), key=lambda g: rows[g])
            way[smallest] = split
    return tuple(way)


def _distance(way: Way, rows: Sequence[int], wanted: Sequence[float]) -> float:
    """Return by how many rows the splits miss their shares, all together."""
    return sum(_missed(way, rows, wanted))


def _missed_of_share(way: Way, rows: Sequence[int], wanted: Sequence[float]) -> float:
    """Return the largest part of its share that a split misses, or has too much."""
    missed = _missed(way, rows, wanted)
    return max(n / share for n, share in zip(missed, wanted, strict=True))


def _missed(way: Way, rows: Sequence[int], wanted: Sequence[float]) -> list[float]:
    filled = [0] * len(wanted)
    for split, n in zip(way, rows, strict=True):
        filled[split] += n
    return [abs(n - share) for n, share in zip(filled, wanted, strict=True)]


def coarse_sentence(
    sizes: Mapping[str, int], split_of: Mapping[str, str], fractions: Shares, unit: str
) -> str | None:
    """Return a sentence with the shares of rows if a split misses its share by far, else None.

    >>> split_of = {"a": "train", "b": "test"}
    >>> coarse_sentence({"a": 6, "b": 4}, split_of, {"test": 0.1}, "session")
    '2 sessions are too coarse for the requested shares: train 60% (of 90%), test 40% (of 10%)'
    """
    total = sum(sizes.values())
    shares = requested_shares(fractions)
    reached = dict.fromkeys(shares, 0.0)
    for group, split in split_of.items():
        reached[split] += sizes[group] / total
    if all(abs(reached[split] - share) <= COARSE for split, share in shares.items()):
        return None
    listed = ", ".join(f"{s} {reached[s]:.0%} (of {share:.0%})" for s, share in shares.items())
    return f"{len(sizes)} {unit}s are too coarse for the requested shares: {listed}"
