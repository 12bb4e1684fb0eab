"""The texts of dialogues: which turns are around each turn, and the tokens of all of them."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from data_prep.errors import CodedError
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


def find_neighbors(
    utterances: Sequence[Utterance], usable: np.ndarray, n_past: int, n_future: int
) -> list[Neighbors]:
    """Return the turns before and after each row of a split, of the same dialogue, by turn number.

    >>> rows = [Utterance(id=f"u{turn}", dialogue="d", turn=turn) for turn in range(3)]
    >>> find_neighbors(rows, np.array([True, True, True]), n_past=1, n_future=0)[2]
    Neighbors(past=[1], future=[])

    Args:
        utterances: N rows.
        usable: (N,) bool; rows that are not usable (no text) are passed over, so that the turns
            beyond them come in.
        n_past: how many turns before, at most.
        n_future: how many turns after, at most.

    Returns:
        N entries, without neighbors for a row that has no dialogue or no turn number.

    Raises:
        CodedError: two rows have the same turn of a dialogue.
    """
    neighbors = [Neighbors([], []) for _ in utterances]
    for rows in group_turns(utterances):
        for row, around in zip(rows, neighbors_of(rows, usable, n_past, n_future), strict=True):
            neighbors[row] = around
    return neighbors


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
    places = [place for place, row in enumerate(turns) if usable[row]]
    for place, row in enumerate(turns):
        first = bisect_left(places, place)  # of the usable places, from this turn on
        before = places[max(0, first - n_past) : first]
        after = places[first + bool(usable[row]) :][:n_future]
        yield Neighbors([turns[x] for x in reversed(before)], [turns[x] for x in after])


def group_turns(utterances: Sequence[Utterance]) -> list[list[int]]:
    """Return the row numbers of each dialogue of a split, by turn number.

    >>> rows = [Utterance(id=f"u{turn}", dialogue="d", turn=turn) for turn in (2, 0, 1)]
    >>> group_turns([*rows, Utterance(id="without")])
    [[1, 2, 0]]

    Args:
        utterances: rows; one that has no dialogue or no turn number is in none.

    Raises:
        CodedError: two rows have the same turn of a dialogue.
    """
    dialogues: dict[str, list[int]] = defaultdict(list)
    for row, utterance in enumerate(utterances):
        if has_turn(utterance):
            dialogues[str(utterance.dialogue)].append(row)
    for name, rows in dialogues.items():
        rows.sort(key=lambda row: utterances[row].turn or 0)
        _check_turns(name, [utterances[row] for row in rows])
    return list(dialogues.values())


def find_hidden(
    utterances: Sequence[Utterance],
    usable: np.ndarray,
    own: np.ndarray,
    n_past: int,
    n_future: int,
) -> np.ndarray:
    """Return the rows of a set whose nearest turns are partly of another set, and so are left out.

    Args:
        utterances: N rows, of which the set is a part.
        usable: (N,) bool, as for :func:`find_neighbors`.
        own: (N,) bool, the rows of the set.
        n_past: how many turns before belong to the context.
        n_future: how many turns after.

    Returns:
        (N,) bool, False for all rows outside the set.
    """
    neighbors = find_neighbors(utterances, usable, n_past, n_future)
    is_hidden = [any(not own[row] for row in (*past, *future)) for past, future in neighbors]
    return own & usable & np.array(is_hidden, dtype=bool)


def _check_turns(dialogue: str, rows: Sequence[Utterance]) -> None:
    for row, following in pairwise(rows):
        if row.turn == following.turn:
            raise CodedError(
                f"dialogue {dialogue!r}: {row.id} and {following.id} are both turn {row.turn}, so "
                "that their order is unknown; correct the column turn",
                "turn-duplicate",
            )


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
        is_cut: (N,) bool, whether an item is truncated.
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
        self.sizes = np.array([self._size(row) for row in range(len(present))])
        full_sizes = np.array([self._full_size(row) for row in range(len(present))])
        self.is_cut = np.asarray(present) & (full_sizes > max_tokens)

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

    def _size(self, index: int) -> int:
        if not self._present[index]:
            return _BOUNDARIES
        plan = self._plan(index)
        context = sum(kept + 1 for _, kept in (*plan.before, *plan.after))
        return min(int(self._lengths[index]) + _BOUNDARIES + context, self._max_tokens)

    def _full_size(self, index: int) -> int:
        """Return the length of an item if nothing were truncated."""
        past, future = self._neighbors[index]
        lengths = [int(self._lengths[row]) for row in (*past, *future)]
        context = sum(length + 1 for length in lengths if length > 0)
        return int(self._lengths[index]) + _BOUNDARIES + context


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
