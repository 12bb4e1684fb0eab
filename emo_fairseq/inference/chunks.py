"""Divide items into chunks, so that the recordings of one chunk at a time are in memory.

Items of one dialogue are its turns, in their order. A model that joins the texts of neighboring
turns reads those of other chunks, too: a chunk holds the turns before it without their recordings,
and as many turns after it as are joined::

    items            a1 a2 a3 a4 a5 | a6 a7 ...
    chunk 1          a1 a2 a3          + a4 (text)            one turn after each is joined
    chunk 2          a4 a5 a6          + a3 (text), a7 (text) and one before
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from emo_fairseq.inference.inputs import Item
from emo_fairseq.modalities import TEXT


class Reach(NamedTuple):
    """How many turns before and after a turn, of those with a text, are joined to its text."""

    past: int = 0
    future: int = 0


NO_CONTEXT = Reach()
ONE_DIALOGUE = "dialogue"  # the name of the dialogue, where all items are of one


class Chunk(NamedTuple):
    """Items that are preprocessed together.

    Attributes:
        items: those that are predicted, between turns that give context alone.
        rows: the numbers of those that are predicted.
    """

    items: Sequence[Item]
    rows: Sequence[int]


def group_turns(dialogues: Iterable[str | None]) -> list[list[int]]:
    """Return the row numbers of each dialogue, in order; a row of none is one by itself.

    >>> group_turns(["a", None, "b", "a", None])
    [[0, 3], [1], [2], [4]]
    """
    rows_of: dict[str | int, list[int]] = {}
    for row, name in enumerate(dialogues):
        rows_of.setdefault(row if name is None else name, []).append(row)
    return list(rows_of.values())


BYTES_OF_SAMPLE = 4  # of samples in memory, by which pictures are counted


class ChunkSize(NamedTuple):
    """How much is predicted in a chunk: items, as long as their recordings have so many samples.

    Pictures of videos count as samples of the same size in memory.

    A chunk has one item at least.
    """

    items: float = math.inf
    samples: float = math.inf


def divide(items: Iterable[Item], size: ChunkSize, reach: Reach) -> Iterator[Chunk]:
    """Divide items, each of which is predicted in one chunk; they are taken as they are needed."""
    source = iter(items)
    past: list[Item] = []  # of the dialogue that goes on, without recordings
    pending: list[Item] = []
    while n_rows := _fill(pending, source, size):
        while _may_have_more(pending, n_rows, reach.future) and (after := next(source, None)):
            pending.append(after)
        yield Chunk([*past, *pending], range(len(past), len(past) + n_rows))
        read = [item.without_recordings() for item in pending[:n_rows]]
        past = last_texts([*past, *read], read[-1].dialogue, reach.past)
        pending = pending[n_rows:]


def _fill(pending: list[Item], source: Iterator[Item], size: ChunkSize) -> int:
    """Append items until they fill a chunk, and return how many of them are in it."""
    n_rows = n_samples = 0
    while n_rows < size.items and n_samples < size.samples:
        if n_rows == len(pending):
            if (item := next(source, None)) is None:
                break
            pending.append(item)
        n_samples += pending[n_rows].n_bytes // BYTES_OF_SAMPLE
        n_rows += 1
    return n_rows


def _may_have_more(pending: Sequence[Item], n_rows: int, n_future: int) -> bool:
    """Return whether the items to come may be joined to the last of the rows."""
    last, after = pending[n_rows - 1], pending[n_rows:]
    if last.dialogue is None or any(item.dialogue != last.dialogue for item in after):
        return False
    return sum(item.has(TEXT) for item in after) < n_future


def last_texts(items: Sequence[Item], dialogue: str | None, n_past: int) -> list[Item]:
    """Return the last `n_past` items with a text, of one dialogue; none of None."""
    if dialogue is None or not n_past:
        return []
    turns = [item for item in items if item.dialogue == dialogue and item.has(TEXT)]
    return turns[-n_past:]
