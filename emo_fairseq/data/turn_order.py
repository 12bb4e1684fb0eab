"""The turns of dialogues among the rows of a split: their order, and those around each."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data_prep.errors import CodedError
from data_prep.manifest.table import codes, counts, has, select
from data_prep.schema import Utterance
from emo_fairseq.data.neighbors import NeighborTable


def has_turn(utterance: Utterance) -> bool:
    """Return whether a row names its dialogue and its turn in it."""
    return utterance.dialogue is not None and utterance.turn is not None


def have_turns(utterances: Sequence[Utterance]) -> np.ndarray:
    """Return which rows name their dialogue and their turn in it, (N,) bool."""
    return has(utterances, "dialogue") & has(utterances, "turn")


class TurnOrder(NamedTuple):
    """The rows that name their dialogue and turn: dialogue by dialogue, by turn number.

    Attributes:
        rows: (M,) row numbers.
        dialogue: (M,) the number of the dialogue of each, ascending.
    """

    rows: np.ndarray
    dialogue: np.ndarray


def order_turns(utterances: Sequence[Utterance]) -> TurnOrder:
    """Return the turns of dialogues in their order; those of two corpora with one name are two.

    Raises:
        CodedError: two rows have the same turn of a dialogue.
    """
    rows = np.flatnonzero(have_turns(utterances))
    named = select(utterances, rows)
    by_name, names = codes(named, "dialogue")
    corpus, corpora = codes(named, "corpus")  # -1 = missing
    n_corpora = len(corpora) + 1
    dialogue = by_name * n_corpora + corpus + 1
    turn = counts(named, "turn")
    order = np.lexsort((turn, dialogue))
    rows, dialogue, turn = rows[order], dialogue[order], turn[order]
    doubled = np.flatnonzero((np.diff(dialogue) == 0) & (np.diff(turn) == 0))
    if len(doubled):
        first = int(doubled[0])
        row, following = (utterances[int(number)].id for number in rows[first : first + 2])
        name = names[int(dialogue[first]) // n_corpora]
        raise CodedError(
            f"dialogue {name!r}: {row} and {following} are both turn {turn[first]}, so "
            "that their order is unknown; correct the column turn",
            "turn-duplicate",
        )
    return TurnOrder(rows, dialogue)


def group_turns(
    utterances: Sequence[Utterance], usable: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the row numbers of each dialogue of a split, by turn number.

    >>> rows = [Utterance(id=f"u{turn}", dialogue="d", turn=turn) for turn in (2, 0, 1)]
    >>> group_turns([*rows, Utterance(id="without")])
    [array([1, 2, 0])]

    Args:
        utterances: N rows; one that has no dialogue or no turn number is in none.
        usable: (N,) bool; other rows are left out, and dialogues without any; None = all.

    Raises:
        CodedError: two rows have the same turn of a dialogue.
    """
    rows, dialogue = order_turns(utterances)
    if usable is not None:
        rows, dialogue = rows[usable[rows]], dialogue[usable[rows]]
    return np.split(rows, np.flatnonzero(np.diff(dialogue)) + 1) if len(rows) else []


def find_neighbors(
    utterances: Sequence[Utterance], usable: np.ndarray, n_past: int, n_future: int
) -> NeighborTable:
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
    rows, dialogue = order_turns(utterances)
    is_usable = usable[rows]
    turns, dialogue_of_turns = rows[is_usable], dialogue[is_usable]
    past_end = np.cumsum(is_usable) - is_usable  # usable turns before each
    future_start = past_end + is_usable
    first = np.searchsorted(dialogue_of_turns, dialogue, side="left")
    last = np.searchsorted(dialogue_of_turns, dialogue, side="right")
    bounds = np.zeros((4, len(utterances)), dtype=np.int64)
    bounds[:, rows] = [
        np.maximum(past_end - n_past, first),
        past_end,
        future_start,
        np.minimum(future_start + n_future, last),
    ]
    return NeighborTable(turns, *bounds)


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
    around = find_neighbors(utterances, usable, n_past, n_future)
    n_others = np.concatenate([[0], np.cumsum(~own[around.turns])])  # before each turn
    in_past = n_others[around.past_end] - n_others[around.past_start]
    in_future = n_others[around.future_end] - n_others[around.future_start]
    hidden: np.ndarray = own & usable & (in_past + in_future > 0)
    return hidden
