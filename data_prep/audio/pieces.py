"""Long sounds cut into pieces for convolutions, and pieces gathered into batches of bounded size.

Convolutions without padding make 1 + (S - reach) // hop frames of S samples: frame t sees the
samples from t * hop to t * hop + reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

Item = TypeVar("Item")


def cut_evenly(n_samples: int, reach: int, hop: int, most: int) -> list[slice]:
    """Pieces of about `most` samples at most, whose frames joined are those of the whole.

    Each begins where a frame begins and overlaps the next by what a frame sees, so that no frame is
    lost or made twice. All are equally long, to a frame: a short last one would be heard out of
    context. Fewer samples than a frame sees make no piece.

    >>> cut_evenly(1000, reach=400, hop=100, most=1000)
    [slice(0, 1000, None)]
    >>> cut_evenly(1000, reach=400, hop=100, most=800)
    [slice(0, 600, None), slice(300, 1000, None)]
    >>> cut_evenly(399, reach=400, hop=100, most=800)
    []
    """
    n_frames = max(0, 1 + (n_samples - reach) // hop)
    room = max(1, 1 + (most - reach) // hop)  # frames in a piece
    n_pieces = -(-n_frames // room)
    if n_pieces == 1:
        return [slice(0, n_samples)]
    borders = [n_frames * piece // n_pieces for piece in range(n_pieces + 1)] if n_pieces else []
    return [slice(first * hop, (last - 1) * hop + reach) for first, last in pairwise(borders)]


def in_batches(
    items: Iterable[Item], size: Callable[[Item], int], most: int
) -> Iterator[list[Item]]:
    """Consecutive items in batches of at most `most` when all are padded to the longest.

    An item that is larger by itself is a batch of its own.

    >>> list(in_batches(["a", "bb", "ccc", "dddddddd", "e"], len, most=6))
    [['a', 'bb'], ['ccc'], ['dddddddd'], ['e']]
    """
    batch: list[Item] = []
    longest = 0
    for item in items:
        longest = max(longest, size(item))
        if batch and longest * (len(batch) + 1) > most:
            yield batch
            batch, longest = [], size(item)
        batch.append(item)
    if batch:
        yield batch
