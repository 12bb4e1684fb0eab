"""The turns around each turn of a dialogue, as row numbers."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from data_prep.manifest.lazy_rows import LazyRows


class ContextOptions(Protocol):
    """The options of a task that choose the neighboring turns of a turn."""

    context_past: int
    context_future: int
    context_speakers: bool
    context_pooling: str


def has_context(cfg: ContextOptions) -> bool:
    """Return whether a task's options join neighboring turns to each turn."""
    return bool(cfg.context_past or cfg.context_future)


class Neighbors(NamedTuple):
    """Row numbers of the turns around one turn, the nearest first."""

    past: list[int]
    future: list[int]


def neighbors_of(
    turns: Sequence[int], usable: Sequence[bool] | np.ndarray, n_past: int, n_future: int
) -> Iterator[Neighbors]:
    """Yield the turns around each turn of one dialogue.

    >>> list(neighbors_of([4, 2, 7], [True] * 8, n_past=1, n_future=1))[1]
    Neighbors(past=[4], future=[7])

    Args:
        turns: row numbers, in order of turn.
        usable: whether each row may be a neighbor, by row number.
        n_past: how many turns before, at most.
        n_future: how many turns after, at most.
    """
    places = [position for position, row in enumerate(turns) if usable[row]]
    for position, row in enumerate(turns):
        first = bisect_left(places, position)  # of the usable places, from this turn on
        before = places[max(0, first - n_past) : first]
        after = places[first + bool(usable[row]) :][:n_future]
        yield Neighbors([turns[x] for x in reversed(before)], [turns[x] for x in after])


class NeighborTable(LazyRows[Neighbors]):
    """The turns around each of N rows, as parts of one array of turns.

    Args:
        turns: (K,) row numbers, those of a dialogue by turn.
        past_start: (N,) where the turns before each row begin in `turns`.
        past_end: (N,) where they end.
        future_start: (N,) where the turns after each row begin.
        future_end: (N,) where they end.
    """

    def __init__(
        self,
        turns: np.ndarray,
        past_start: np.ndarray,
        past_end: np.ndarray,
        future_start: np.ndarray,
        future_end: np.ndarray,
    ) -> None:
        self.turns = turns
        self.past_start, self.past_end = past_start, past_end
        self.future_start, self.future_end = future_start, future_end

    @classmethod
    def of(cls, neighbors: Sequence[Neighbors]) -> "NeighborTable":
        """Return the turns around rows as a table."""
        if isinstance(neighbors, NeighborTable):
            return neighbors
        n_past = np.array([len(around.past) for around in neighbors], dtype=np.int64)
        n_future = np.array([len(around.future) for around in neighbors], dtype=np.int64)
        parts = [turns for past, future in neighbors for turns in (past[::-1], future)]
        turns = np.array([row for part in parts for row in part], dtype=np.int64)
        end = np.cumsum(n_past + n_future)
        middle = end - n_future
        return cls(turns, middle - n_past, middle, middle, end)

    def __len__(self) -> int:
        return len(self.past_start)

    def row(self, number: int) -> Neighbors:
        past = self.turns[self.past_start[number] : self.past_end[number]]
        future = self.turns[self.future_start[number] : self.future_end[number]]
        return Neighbors(past[::-1].tolist(), future.tolist())

    def by_distance(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield rows and one neighbor of each: the nearest before, after, the next before, ..."""
        n_past, n_future = self.past_end - self.past_start, self.future_end - self.future_start
        for distance in range(int(max(n_past.max(initial=0), n_future.max(initial=0)))):
            rows = np.flatnonzero(n_past > distance)
            yield rows, self.turns[self.past_end[rows] - 1 - distance]
            rows = np.flatnonzero(n_future > distance)
            yield rows, self.turns[self.future_start[rows] + distance]
