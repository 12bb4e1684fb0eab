"""How rows fall into batches (``--batch-sampler``).

A sampler is a function ``(rows, traits, limits, rng) -> batches`` that puts every given row into
exactly one batch, within the limits:

* rows: (M,) row numbers in order of length, at random among equals, as ``ordered_indices`` of the
  dataset gives them; all of its rows or, in a curriculum, some.
* traits: what is known of all N rows of the dataset.
* rng: the only source of chance, to be seeded by epoch and the same on every rank.

Batches come in about the order of length; fairseq shuffles them.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from fairseq.data import data_utils

# Under --max-tokens classes are dealt out among batches whose rooms differ by at most this ratio.
_ROOM_RATIO = 1.15
# Speakers are exchanged among so many batches of like length: more would cost padding.
_SPEAKER_BLOCK = 8
# A row may be overtaken by rows of its class from so many batches on. Those of a rare class are far
# apart in length: by length alone the same ones would meet in every epoch.
_MIXED_BATCHES = 2


class RowTraits(NamedTuple):
    """What samplers know of the N rows of a dataset."""

    num_tokens: np.ndarray  # (N,) int64, what --max-tokens counts
    labels: np.ndarray  # (N,) int64 class ids, -1 = unknown
    speakers: np.ndarray  # (N,) int64 speaker numbers, -1 = unknown


class BatchLimits(NamedTuple):
    """How large a batch may be."""

    max_sentences: int | None = None  # rows
    max_tokens: int | None = None  # rows, all padded to the longest, times its length

    def room(self, longest: np.ndarray) -> np.ndarray:
        """Most rows of a batch whose longest is `longest`, elementwise; one at least."""
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
    """As many rows in a row as there is room for: fairseq's own batches."""
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
    """Each batch of one speaker; rows of unknown speaker by themselves."""
    batches: list[np.ndarray] = []
    for group in _groups(rows, traits.speakers[rows]):
        room = limits.room(traits.num_tokens[group]).min()
        mixed = group[_mixed_order(len(group), room, rng)]
        batches += by_length(mixed, traits, limits, rng)
    return batches


def class_balanced(
    rows: np.ndarray,
    traits: RowTraits,
    limits: BatchLimits,
    rng: np.random.Generator,
    across_speakers: bool = False,
) -> list[np.ndarray]:
    """Each batch with the classes as even as they can be if every row comes once.

    Under ``--max-tokens`` that holds among batches of like length, since others have less room.
    Which rows of a class come together is a matter of length, and of chance between neighbors.

    Args:
        rows: (M,), see the module.
        traits: of all rows.
        limits: of a batch; the batches are as few as they allow, and equally full.
        rng: see the module.
        across_speakers: take the rows that a batch has of a class from as many speakers as the
            eight batches of like length have to offer. Unknown speakers are one speaker.
    """
    batches: list[np.ndarray] = []
    for band in _bands(rows, traits, limits):
        room = min(len(band), int(limits.room(traits.num_tokens[band]).min()))
        n_batches = -(-len(band) // room)
        classes, class_of = np.unique(traits.labels[band], return_inverse=True)
        counts = deal_classes(np.bincount(class_of), n_batches, room, classes >= 0, rng)
        batch_of = np.empty(len(band), dtype=np.int64)
        for number, column in enumerate(counts.T):
            members = np.flatnonzero(class_of == number)
            rows_a_batch = max(2.0, len(members) / n_batches)
            members = members[_mixed_order(len(members), _MIXED_BATCHES * rows_a_batch, rng)]
            places = np.repeat(np.arange(n_batches), column)
            if across_speakers:
                speakers = traits.speakers[band[members]]
                members, places = _spread_speakers(members, places, speakers, rng)
            batch_of[members] = places
        batches += _groups(band, batch_of)
    return batches


SAMPLERS: dict[str, Sampler] = {
    "length": by_length,
    "class_balanced": class_balanced,
    "speaker_aware": partial(class_balanced, across_speakers=True),
    "speaker_grouped": speaker_grouped,
}


def _groups(rows: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Rows of the same number, group after group; the order within stays."""
    if not len(rows):
        return []
    order = np.argsort(numbers, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(numbers[order])) + 1)


def _mixed_order(n: int, width: float, rng: np.random.Generator) -> np.ndarray:
    """Indices of n rows, in which each may have overtaken those up to `width` places before it."""
    return np.argsort(np.arange(n) + rng.uniform(0.0, min(width, n), n), kind="stable")


def _bands(rows: np.ndarray, traits: RowTraits, limits: BatchLimits) -> list[np.ndarray]:
    """Cut the rows of each class at the same quantiles of length, where the room changes much.

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
    room = limits.room(longest_so_far[last_of_pair])
    step = np.floor(np.log(room) / np.log(_ROOM_RATIO))
    bands: list[np.ndarray] = []
    waiting = rows[:0]
    for band in _groups(rows[order], -step):
        waiting = np.concatenate([waiting, band])
        if len(waiting) >= limits.room(traits.num_tokens[waiting]).min():
            bands.append(waiting)
            waiting = rows[:0]
    return [*bands, waiting] if len(waiting) else bands


def _spread_speakers(
    members: np.ndarray, places: np.ndarray, speakers: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows and places anew within blocks of batches, one speaker's rows in different batches.

    Args:
        members: (m,) rows of one class, by length.
        places: (m,) batch number of each place, ascending.
        speakers: (m,) of the members.
        rng: orders the speakers.

    Returns:
        (m,) rows and (m,) batch numbers, to be read side by side.
    """
    block = places // _SPEAKER_BLOCK
    turn = rank_in_group(places)
    # Every batch in turn, those with the most places first, so that each turn begins alike.
    by_turn = np.lexsort((places, -np.bincount(places)[places], turn, block))
    known, speaker_of = np.unique(speakers, return_inverse=True)
    by_speaker = np.lexsort((rng.permutation(len(known))[speaker_of], block))
    return members[by_speaker], places[by_turn]


# -- How many rows of each class a batch gets ------------------------------------------------------

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


# -- Arithmetic on rows that belong to groups ------------------------------------------------------


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
