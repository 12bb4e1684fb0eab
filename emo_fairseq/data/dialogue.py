"""The texts of dialogues: which turns are around each turn, and the tokens of all of them."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_prep.manifest.lazy_rows import LazyRows
from data_prep.schema import Utterance
from data_prep.tokens.folder import SpecialIds
from data_prep.tokens.text_tokenizers import load_text_tokenizer

NO_PREFIX = np.zeros(0, dtype=np.int64)
_BOUNDARIES = 2  # the initial token, and the separator after the last turn


class Neighbors(NamedTuple):
    """Row numbers of the turns around one turn, the nearest first."""

    past: list[int]
    future: list[int]


class ContextOptions(Protocol):
    """The options of a task that choose the neighboring turns of a turn."""

    context_past: int
    context_future: int
    context_speakers: bool
    context_pooling: str


def has_context(cfg: ContextOptions) -> bool:
    """Return whether a task's options join neighboring turns to each turn."""
    return bool(cfg.context_past or cfg.context_future)


def has_turn(utterance: Utterance) -> bool:
    """Return whether a row names its dialogue and its turn in it."""
    return utterance.dialogue is not None and utterance.turn is not None


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


class _Plan(NamedTuple):
    """How many tokens of which rows come before and after a turn, outermost first and last."""

    before: list[tuple[int, int]]
    after: list[tuple[int, int]]


class ContextRows:
    """Tokens of each row with those of its neighbors.

    An item is the initial token, then the turns in their order with a separator after each::

        <s> past </s> past </s> CURRENT </s> future </s>

    followed by presence and the span (start, end) of the current turn. It is at most ``max_tokens``
    long and is truncated from the outside in: the nearest turns come in first, past before future;
    the first that does not fit whole gives the tokens nearest to the current turn, and nothing
    beyond it comes in. A turn without tokens adds nothing, not even a separator. A current turn
    that is too long by itself is truncated at its end.

    Args:
        source: N sequences of ids, without the initial token, ending with the separator.
        lengths: (N,) their lengths.
        present: (N,) bool; a row that is not present becomes the two boundary tokens.
        neighbors: for each row those around it.
        prefixes: for each row tokens that come before its own, such as the speaker's name.
        specials: ids of the boundary tokens and of padding.
        max_tokens: length of the longest item.

    Attributes:
        sizes: (N,) of the items.
        is_truncated: (N,) bool, whether an item is truncated.
    """

    def __init__(
        self,
        source: Any,
        lengths: np.ndarray,
        present: np.ndarray,
        neighbors: Sequence[Neighbors],
        prefixes: Sequence[np.ndarray],
        specials: SpecialIds,
        max_tokens: int,
    ) -> None:
        self._source = source
        self._present = present
        self._neighbors = neighbors
        self._prefixes = prefixes
        self._max_tokens = max_tokens
        self._init = np.array([specials.init], dtype=np.int64)
        self._separator = np.array([specials.separator], dtype=np.int64)
        # Without the separator that ends every row, with the prefix.
        self._lengths = np.asarray(lengths) - 1 + np.array([len(p) for p in prefixes])
        table = NeighborTable.of(neighbors)
        self.sizes, full_sizes = context_sizes(self._lengths, present, table, max_tokens)
        self.is_truncated = np.asarray(present) & (full_sizes > max_tokens)

    def __getitem__(self, index: int) -> tuple[np.ndarray, bool, tuple[int, int]]:
        if not self._present[index]:
            return np.concatenate([self._init, self._separator]), False, (0, 2)
        separator = self._separator
        plan = self._plan(index)
        before = [
            part
            for row, kept in plan.before
            for part in (self._turn(row)[int(self._lengths[row]) - kept :], separator)
        ]
        current = self._turn(index)[: self._max_tokens - _BOUNDARIES]
        after = [part for row, kept in plan.after for part in (self._turn(row)[:kept], separator)]
        start = 1 + sum(map(len, before))
        tokens = np.concatenate([self._init, *before, current, separator, *after])
        return tokens, True, (start, start + len(current) + 1)

    def __len__(self) -> int:
        return len(self._present)

    def _turn(self, row: int) -> np.ndarray:
        """Return the tokens of one turn, its prefix first, no separator."""
        body = np.asarray(self._source[row], dtype=np.int64)[:-1]
        return np.concatenate([np.asarray(self._prefixes[row], dtype=np.int64), body])

    def _plan(self, index: int) -> _Plan:
        past, future = self._neighbors[index]
        free = self._max_tokens - _BOUNDARIES - int(self._lengths[index])
        plan = _Plan([], [])
        by_distance = [
            (row, side)
            for distance in range(max(len(past), len(future)))
            for side, rows in ((plan.before, past), (plan.after, future))
            for row in rows[distance : distance + 1]
        ]
        for row, side in by_distance:
            if self._lengths[row] == 0:
                continue
            kept = min(int(self._lengths[row]), free - 1)  # a separator belongs to each turn
            if kept <= 0:
                break
            side.append((row, kept))
            free -= kept + 1
            if kept < self._lengths[row]:
                break
        plan.before.reverse()
        return plan


def context_sizes(
    lengths: np.ndarray, present: np.ndarray, neighbors: NeighborTable, max_tokens: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the length of each item of `ContextRows`, and what it is if nothing is truncated.

    Args:
        lengths: (N,) of the turns, without separators.
        present: (N,) bool; an item that is not present has the two boundary tokens alone.
        neighbors: N entries.
        max_tokens: length of the longest item.

    Returns:
        (N,) int64 each.
    """
    sizes = lengths + _BOUNDARIES
    full_sizes = sizes.copy()
    is_full = sizes >= max_tokens
    for rows, turns in neighbors.by_distance():
        has_tokens = lengths[turns] > 0
        rows, turns = rows[has_tokens], turns[has_tokens]
        full_sizes[rows] += lengths[turns] + 1  # a separator belongs to each turn
        open_ = ~is_full[rows]
        rows, turns = rows[open_], turns[open_]
        kept = np.minimum(lengths[turns], max_tokens - sizes[rows] - 1)
        sizes[rows] += np.where(kept > 0, kept + 1, 0)
        is_full[rows] = kept < lengths[turns]
    return np.where(present, np.minimum(sizes, max_tokens), _BOUNDARIES), full_sizes


def focus_of(spans: Sequence[tuple[int, int]], n_tokens: int) -> np.ndarray:
    """Return where a fusion may attend: the current turn of each item, and its initial token.

    >>> focus_of([(2, 4)], 6).tolist()
    [[True, False, True, True, False, False]]

    Args:
        spans: of the current turns of B items.
        n_tokens: T, of the longest.

    Returns:
        (B, T) bool.
    """
    position = np.arange(n_tokens)
    start, end = np.array(spans).reshape(-1, 2).T[..., None]  # (B, 1) each
    focus: np.ndarray = ((position >= start) & (position < end)) | (position == 0)
    return focus


def speaker_prefixes(text_folder: Path, speakers: Sequence[str | None]) -> list[np.ndarray]:
    """Return for each row the tokens of its speaker's name and a colon, none without a name.

    Args:
        text_folder: a token folder, whose own tokenizer tokenizes the names.
        speakers: N names.
    """
    return name_prefixes(load_text_tokenizer(text_folder).encode, speakers)


def name_prefixes(
    encode: Callable[[str], np.ndarray], speakers: Sequence[str | None]
) -> list[np.ndarray]:
    """Return :func:`speaker_prefixes` by a tokenizer that is loaded.

    Args:
        encode: from a text to its ids, which end with the separator.
        speakers: N names.
    """
    names = {name: encode(f"{name}:")[:-1] for name in set(speakers) if name is not None}
    return [NO_PREFIX if name is None else names[name] for name in speakers]
