"""How rows are batched (``--batch-sampler``).

A sampler is a function ``(rows, traits, limits, rng) -> batches`` that puts every given row into
exactly one batch, within the limits:

* rows: (M,) row numbers in order of length, at random among equals, as ``ordered_indices`` of the
  dataset returns them; all of its rows or, in a curriculum, some.
* traits: lengths, classes and speakers of all N rows of the dataset.
* rng: the only source of randomness, to be seeded by epoch and the same on every rank.

Batches come in about the order of length; fairseq shuffles them. :data:`SAMPLERS` names them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from fairseq.data import data_utils

# Under --max-tokens classes are distributed among batches whose row limits differ by at most this.
_MAX_ROWS_RATIO = 1.15
# Speakers are exchanged among so many batches of similar length: more would cost padding.
_SPEAKER_BLOCK = 8
# A row may be overtaken by rows of its class from so many batches on. Those of a rare class are far
# apart in length: by length alone the same ones would meet in every epoch.
_MIXED_BATCHES = 2


class RowTraits(NamedTuple):
    """Traits of the N rows of a dataset."""

    num_tokens: np.ndarray  # (N,) int64, what --max-tokens limits
    labels: np.ndarray  # (N,) int64 class ids, -1 = unknown
    speakers: np.ndarray  # (N,) int64 speaker numbers, -1 = unknown


class BatchLimits(NamedTuple):
    """How large a batch may be."""

    max_sentences: int | None = None  # rows
    max_tokens: int | None = None  # rows, all padded to the longest, times its length

    def max_rows(self, longest: np.ndarray) -> np.ndarray:
        """Return the most rows of a batch with a longest row of `longest`, elementwise; 1 or more.

        >>> BatchLimits(max_sentences=8, max_tokens=100).max_rows(np.array([10, 20, 500]))
        array([8, 5, 1])
        """
        rows = np.full(np.shape(longest), np.iinfo(np.int64).max)
        if self.max_sentences is not None:
            rows = np.minimum(rows, self.max_sentences)
        if self.max_tokens is not None:
            rows = np.minimum(rows, self.max_tokens // np.maximum(longest, 1))
        return np.maximum(rows, 1)


Sampler = Callable[[np.ndarray, RowTraits, BatchLimits, np.random.Generator], list[np.ndarray]]


def by_length(
    rows: np.ndarray, traits: RowTraits, limits: BatchLimits, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batch consecutive rows, as many as the limits allow: fairseq's own batches."""
    batches: list[np.ndarray] = data_utils.batch_by_size(
        rows,
        num_tokens_fn=None,
        num_tokens_vec=traits.num_tokens[rows].astype(np.int64),
        max_tokens=limits.max_tokens,
        max_sentences=limits.max_sentences,
    )
    return batches


def speaker_grouped(
    rows: np.ndarray, traits: RowTraits, limits: BatchLimits, rng: np.random.Generator
) -> list[np.ndarray]:
    """Batch rows of one speaker; rows of unknown speaker count as one more speaker."""
    batches: list[np.ndarray] = []
    for group in _groups(rows, traits.speakers[rows]):
        max_rows = limits.max_rows(traits.num_tokens[group]).min()
        mixed = group[_mixed_order(len(group), max_rows, rng)]
        batches += by_length(mixed, traits, limits, rng)
    return batches


def class_balanced(
    rows: np.ndarray,
    traits: RowTraits,
    limits: BatchLimits,
    rng: np.random.Generator,
    across_speakers: bool = False,
) -> list[np.ndarray]:
    """Balance the classes of each batch, as far as that is possible if every row comes once.

    Under ``--max-tokens`` that holds among batches of similar length, since longer ones have fewer
    rows. Which rows of a class come together depends on length, and is random between neighbors.

    Args:
        rows: (M,), see the module.
        traits: of all rows.
        limits: of a batch; the batches are as few as they allow, and equally full.
        rng: see the module.
        across_speakers: take the rows that a batch has of a class from as many speakers as there
            are in eight batches of similar length. Unknown speakers are one speaker.
    """
    batches: list[np.ndarray] = []
    for band in _bands(rows, traits, limits):
        max_rows = min(len(band), int(limits.max_rows(traits.num_tokens[band]).min()))
        n_batches = -(-len(band) // max_rows)
        classes, class_of = np.unique(traits.labels[band], return_inverse=True)
        counts = distribute_classes(np.bincount(class_of), n_batches, max_rows, classes >= 0, rng)
        batch_of = np.empty(len(band), dtype=np.int64)
        for number, column in enumerate(counts.T):
            members = np.flatnonzero(class_of == number)
            rows_a_batch = max(2.0, len(members) / n_batches)
            members = members[_mixed_order(len(members), _MIXED_BATCHES * rows_a_batch, rng)]
            slots = np.repeat(np.arange(n_batches), column)
            if across_speakers:
                speakers = traits.speakers[band[members]]
                members, slots = _spread_speakers(members, slots, speakers, rng)
            batch_of[members] = slots
        batches += _groups(band, batch_of)
    return batches


SAMPLERS: dict[str, Sampler] = {
    "length": by_length,
    "class_balanced": class_balanced,
    "speaker_aware": partial(class_balanced, across_speakers=True),
    "speaker_grouped": speaker_grouped,
}


def _groups(rows: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Split the rows by number, group after group; the order within stays."""
    if not len(rows):
        return []
    order = np.argsort(numbers, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)


def _mixed_order(n: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Return indices of n rows, each of which may have overtaken those up to `width` before it."""
    return np.argsort(np.arange(n) + rng.uniform(0.0, min(width, n), n), kind="stable")


def _bands(rows: np.ndarray, traits: RowTraits, limits: BatchLimits) -> list[np.ndarray]:
    """Split the rows of each class at the same quantiles of length, where the row limit changes.

    Without ``--max-tokens`` it never does. Pairs of a class stay together.
    """
    labels = traits.labels[rows]
    _, class_of, class_sizes = np.unique(labels, return_inverse=True, return_counts=True)
    n_pairs = np.maximum(class_sizes // 2, 1)[class_of]
    pair = np.minimum(rank_in_group(labels) // 2, n_pairs - 1)
    quantile = (pair + 0.5) / n_pairs
    order = np.argsort(quantile, kind="stable")
    longest_so_far = np.maximum.accumulate(traits.num_tokens[rows[order]])
    last_of_pair = np.searchsorted(quantile[order], quantile[order], side="right") - 1
    max_rows = limits.max_rows(longest_so_far[last_of_pair])
    step = np.floor(np.log(max_rows) / np.log(_MAX_ROWS_RATIO))
    bands: list[np.ndarray] = []
    pending = rows[:0]
    for band in _groups(rows[order], -step):
        pending = np.concatenate([pending, band])
        if len(pending) >= limits.max_rows(traits.num_tokens[pending]).min():
            bands.append(pending)
            pending = rows[:0]
    return [*bands, pending] if len(pending) else bands


def _spread_speakers(
    members: np.ndarray, slots: np.ndarray, speakers: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows and slots within blocks of batches, one speaker's rows in different batches.

    Args:
        members: (m,) rows of one class, by length.
        slots: (m,) batch number of each slot, ascending.
        speakers: (m,) of the members.
        rng: orders the speakers.

    Returns:
        (m,) rows and (m,) batch numbers, to be read side by side.
    """
    block = slots // _SPEAKER_BLOCK
    turn = rank_in_group(slots)
    # Every batch in turn, those with the most slots first, so that each turn begins alike.
    by_turn = np.lexsort((slots, -np.bincount(slots)[slots], turn, block))
    known, speaker_of = np.unique(speakers, return_inverse=True)
    by_speaker = np.lexsort((rng.permutation(len(known))[speaker_of], block))
    return members[by_speaker], slots[by_turn]


# -- How many rows of each class a batch has -------------------------------------------------------

# Any number of its multiples, modulo 1, are spread over [0, 1) as evenly as possible.
_GOLDEN_RATIO = (np.sqrt(5.0) - 1.0) / 2.0


def distribute_classes(
    class_sizes: np.ndarray,
    n_batches: int,
    max_rows: int,
    in_pairs: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Distribute the rows of K classes over batches of the same size, each as evenly as possible.

    A class of at least two rows a batch has in every batch its n_rows / n_batches, rounded down or
    up. A rarer one goes in pairs (the last row of an odd number makes three of one pair) to as many
    batches as it has pairs, because a single row has no positive in a contrastive loss. The largest
    class comes last and makes the batches equally full; it alone, and what does not fit into a full
    batch, may come as single rows.

    Args:
        class_sizes: (K,) rows of each class, none of them 0.
        n_batches: B, with ``B * max_rows >= class_sizes.sum()``.
        max_rows: most rows of a batch.
        in_pairs: (K,) bool, False for a class whose rows need no positive.
        rng: decides between equally full batches.

    Returns:
        (B, K) int64, whose columns sum to `class_sizes`.
    """
    counts = np.zeros((n_batches, len(class_sizes)), dtype=np.int64)
    ascending = np.argsort(class_sizes, kind="stable")
    for number in ascending[:-1]:
        least = 2 if in_pairs[number] else 1
        counts[:, number] = _distribute(
            class_sizes[number], counts.sum(axis=1), max_rows, least, rng
        )
    largest = ascending[-1]
    counts[:, largest] = _level(class_sizes[largest], counts.sum(axis=1), max_rows, rng)
    return counts


def _distribute(
    n_rows: int, load: np.ndarray, max_rows: int, least: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the rows of one class for each batch: equal numbers, or `least` for the emptiest."""
    n_holders = min(len(load), max(1, n_rows // least))
    emptiest = np.lexsort((_even_order(len(load), rng), load))[:n_holders]
    wanted = np.zeros_like(load)
    wanted[emptiest] = n_rows // n_holders
    wanted[emptiest[: n_rows % n_holders]] += 1
    given = np.minimum(wanted, max_rows - load)
    return given + _level(n_rows - given.sum(), load + given, max_rows, rng)


def _level(n_rows: int, load: np.ndarray, max_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Return the rows for each batch that make all equally full, the emptiest first."""
    batch, slot = np.nonzero(np.arange(max_rows) >= load[:, None])  # the free slots of all batches
    # At the last slot to be filled the fuller ones come first: they were given fewer.
    by_slot = np.lexsort((_even_order(len(load), rng)[batch], -load[batch], slot))
    return np.bincount(batch[by_slot[:n_rows]], minlength=len(load))


def _even_order(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) keys, of which the smallest m, for any m, are spread evenly over all."""
    return (np.arange(n) * _GOLDEN_RATIO + rng.random()) % 1.0


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """Return how many rows of the same group come before each row.

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
