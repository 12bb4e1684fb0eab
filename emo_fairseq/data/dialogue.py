"""Which turns stand round each turn of a dialogue. Knows utterances and no torch."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from data_prep.schema import Utterance


class Neighbors(NamedTuple):
    """Rows round one row, the nearest first."""

    past: list[int]
    future: list[int]


def has_context(options: Any) -> bool:
    """Whether a task's options join the turns round each one."""
    return bool(options.context_past or options.context_future)


def find_neighbors(
    utterances: Sequence[Utterance], usable: np.ndarray, n_past: int, n_future: int
) -> list[Neighbors]:
    """The turns before and after each row of a split, of the same dialogue, by turn number.

    Args:
        utterances: N rows.
        usable: (N,) bool; rows that have nothing to say (no text) are passed over, so that the
            turns beyond them come in.
        n_past: how many turns before, at most.
        n_future: how many turns after, at most.

    Returns:
        N entries, without neighbors for a row that has no dialogue or no turn number.

    Raises:
        ValueError: two rows claim the same turn of a dialogue.
    """
    dialogues: dict[str, list[int]] = defaultdict(list)
    for row, utterance in enumerate(utterances):
        if has_place(utterance):
            dialogues[str(utterance.dialogue)].append(row)
    found = [Neighbors([], []) for _ in utterances]
    for name, rows in dialogues.items():
        rows.sort(key=lambda row: utterances[row].turn or 0)
        _check_turns(name, [utterances[row] for row in rows])
        for position, row in enumerate(rows):
            before = [other for other in reversed(rows[:position]) if usable[other]]
            after = [other for other in rows[position + 1 :] if usable[other]]
            found[row] = Neighbors(before[:n_past], after[:n_future])
    return found


def find_hidden(
    utterances: Sequence[Utterance],
    usable: np.ndarray,
    own: np.ndarray,
    n_past: int,
    n_future: int,
) -> np.ndarray:
    """The rows of a set whose nearest turns are partly of another set, and so are not seen.

    Args:
        utterances: N rows, of which the set is a part.
        usable: (N,) bool, as for :func:`find_neighbors`.
        own: (N,) bool, the rows of the set.
        n_past: how many turns before are asked for.
        n_future: how many turns after.

    Returns:
        (N,) bool, False for all rows beyond the set.
    """
    found = find_neighbors(utterances, usable, n_past, n_future)
    missed = [any(not own[other] for side in round_it for other in side) for round_it in found]
    return own & usable & np.array(missed, dtype=bool)


def has_place(utterance: Utterance) -> bool:
    """Whether a row says where in which dialogue it stands."""
    return utterance.dialogue is not None and utterance.turn is not None


def _check_turns(dialogue: str, rows: Sequence[Utterance]) -> None:
    for one, other in pairwise(rows):
        if one.turn == other.turn:
            raise ValueError(
                f"dialogue {dialogue!r}: {one.id} and {other.id} are both turn {one.turn}, so that "
                "nobody knows which comes first; correct the column turn"
            )
