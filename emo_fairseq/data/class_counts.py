"""How many rows of each class a batch gets."""

import numpy as np

# Its multiples, modulo 1, lie as evenly in [0, 1) as can be, however many are taken.
_GOLDEN_RATIO = (np.sqrt(5.0) - 1.0) / 2.0


def deal_classes(
    class_sizes: np.ndarray,
    n_batches: int,
    room: int,
    in_pairs: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Deal the rows of K classes out to batches of the same size, each class as evenly as can be.

    A class of at least two rows a batch has in every batch its n_rows / n_batches, rounded down or
    up. A rarer one goes in pairs (the last row of an odd number makes three of one pair) to as many
    batches as it has pairs, because a lone row has no positive. The largest class comes last and
    makes the batches equally full; it and what a full batch turns away are what may be alone.

    Args:
        class_sizes: (K,) rows of each class, none of them 0.
        n_batches: B, with ``B * room >= class_sizes.sum()``.
        room: most rows of a batch.
        in_pairs: (K,) bool, False for a class whose rows need no positive.
        rng: decides between equally full batches.

    Returns:
        (B, K) int64, whose columns sum to `class_sizes`.
    """
    counts = np.zeros((n_batches, len(class_sizes)), dtype=np.int64)
    ascending = np.argsort(class_sizes, kind="stable")
    for number in ascending[:-1]:
        least = 2 if in_pairs[number] else 1
        counts[:, number] = _deal(class_sizes[number], counts.sum(axis=1), room, least, rng)
    largest = ascending[-1]
    counts[:, largest] = _level(class_sizes[largest], counts.sum(axis=1), room, rng)
    return counts


def _deal(
    n_rows: int, load: np.ndarray, room: int, least: int, rng: np.random.Generator
) -> np.ndarray:
    """Rows of one class for each batch: the same for all, or `least` for the emptiest."""
    n_holders = min(len(load), max(1, n_rows // least))
    emptiest = np.lexsort((_even_order(len(load), rng), load))[:n_holders]
    wanted = np.zeros_like(load)
    wanted[emptiest] = n_rows // n_holders
    wanted[emptiest[: n_rows % n_holders]] += 1
    given = np.minimum(wanted, room - load)
    return given + _level(n_rows - given.sum(), load + given, room, rng)


def _level(n_rows: int, load: np.ndarray, room: int, rng: np.random.Generator) -> np.ndarray:
    """Rows for each batch that make all equally full, the emptiest first."""
    batch, place = np.nonzero(np.arange(room) >= load[:, None])  # the free places, all batches'
    # At the last place to be filled the fuller ones come first: they were given fewer.
    by_place = np.lexsort((_even_order(len(load), rng)[batch], -load[batch], place))
    return np.bincount(batch[by_place[:n_rows]], minlength=len(load))


def _even_order(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) keys; the rows of the smallest m keys, for any m, are spread evenly over all."""
    return (np.arange(n) * _GOLDEN_RATIO + rng.random()) % 1.0
