"""The tokens of a turn with those of the turns around it, and with the names of speakers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.neighbors import Neighbors, NeighborTable
from emo_fairseq.data.token_rows import BOUNDARIES

NO_PREFIX = np.zeros(0, dtype=np.int64)


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
        current = self._turn(index)[: self._max_tokens - BOUNDARIES]
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
        free = self._max_tokens - BOUNDARIES - int(self._lengths[index])
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
    sizes = lengths + BOUNDARIES
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
    return np.where(present, np.minimum(sizes, max_tokens), BOUNDARIES), full_sizes


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


def name_prefixes(
    encode: Callable[[str], np.ndarray], speakers: Sequence[str | None]
) -> list[np.ndarray]:
    """Return for each row the tokens of its speaker's name and a colon, none without a name.

    Args:
        encode: from a text to its ids, which end with the separator.
        speakers: N names.
    """
    names = {name: encode(f"{name}:")[:-1] for name in set(speakers) if name is not None}
    return [NO_PREFIX if name is None else names[name] for name in speakers]
