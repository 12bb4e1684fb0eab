"""Windows of dialogues: which turns are read together, and which of them are scored.

A dialogue that fits into a window is one window. A longer one is cut into windows that overlap by
half, and each turn is scored once, where it has most context. Of a dialogue of 8 turns and windows
of 4 turns (s = scored, c = context)::

    turn      0 1 2 3 4 5 6 7
    window 0  s s s c
    window 1      c s s c
    window 2          c s s s
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

UNKNOWN_SPEAKER = -1


class Window(NamedTuple):
    """Turns of a dialogue that are read together.

    Attributes:
        rows: (T,) int64 row numbers, in order of turn.
        scored: (T,) bool, False for a turn that gives context alone.
    """

    rows: np.ndarray
    scored: np.ndarray


def plan_windows(
    dialogues: Sequence[Sequence[int] | np.ndarray], size: int, causal: bool
) -> list[Window]:
    """Divide dialogues into windows, in which each turn is scored exactly once.

    Among the windows that contain a turn it is scored in the one that gives it the most context on
    its poorer side, or, causally, the most turns before it; among equal ones in the first. Causally
    the turns before it in that window are the same however long the dialogue is.

    >>> [window.rows.tolist() for window in plan_windows([[7, 9], [0, 1, 2, 3, 4]], 4, False)]
    [[7, 9], [0, 1, 2, 3], [1, 2, 3, 4]]

    Args:
        dialogues: the row numbers of each dialogue, in order of turn.
        size: most turns of a window, 1 or more.
        causal: whether turns are predicted from those before them alone.

    Returns:
        The windows, dialogue after dialogue; none of a dialogue without turns.
    """
    assert size >= 1
    return [
        window
        for rows in dialogues
        for window in _divide(np.asarray(rows, dtype=np.int64), size, causal)
    ]


def _divide(rows: np.ndarray, size: int, causal: bool) -> list[Window]:
    n_turns = len(rows)
    if n_turns <= size:
        return [Window(rows, np.ones(n_turns, dtype=bool))] if n_turns else []
    stride = -(-size // 2)
    n_windows = -(-(n_turns - size) // stride) + 1
    if causal:
        # Whatever comes later, so that a conversation that goes on has the same windows.
        starts = np.arange(n_windows) * stride
    else:
        # Evenly spaced, so that no two windows overlap by much more than others.
        starts = np.linspace(0, n_turns - size, n_windows).round().astype(np.int64)
    past = np.arange(n_turns) - starts[:, None]  # (W, n_turns), turns before each in its window
    future = size - 1 - past
    context = past if causal else np.minimum(past, future)
    context = np.where((past >= 0) & (future >= 0), context, -1)
    window_of = context.argmax(axis=0)  # (n_turns,)
    return [
        Window(rows[start : start + size], window_of[start : start + size] == number)
        for number, start in enumerate(starts.tolist())
    ]


def collate_windows(
    windows: Sequence[Window], speakers: Sequence[str | None]
) -> dict[str, np.ndarray]:
    """Return the tensors by which a dialogue encoder reads a batch of windows.

    The turns of a batch are numbered in the order in which the windows list them: number i is row
    ``concatenate(window.rows)[i]``. A row that is in two windows has two numbers.

    >>> windows = [Window(np.array([4]), np.array([True])),
    ...            Window(np.array([8, 2]), np.array([False, True]))]
    >>> batch = collate_windows(windows, speakers=["Ann"] * 9)
    >>> batch["turns"].tolist(), batch["scored"].tolist()
    ([[0, 0], [1, 2]], [0, 2])

    Args:
        windows: W windows of at most L turns and U in total, of which B are scored.
        speakers: of all rows; None where unknown.

    Returns:
        ``turns`` (W, L) int64, the number of the turn at each place, 0 where padded;
        ``padding_mask`` (W, L) bool, True = padding; ``speaker`` (W, L) int64, the number of the
        speaker within the window, by first appearance, -1 where unknown or padded; ``scored``
        (B,) int64, the numbers of the turns whose outputs are wanted.
    """
    lengths = np.array([len(window.rows) for window in windows], dtype=np.int64)
    n_places = int(lengths.max(initial=0))
    is_turn = np.arange(n_places) < lengths[:, None]  # (W, L)
    turns = np.zeros(is_turn.shape, dtype=np.int64)
    turns[is_turn] = np.arange(lengths.sum())
    speaker = np.full(is_turn.shape, UNKNOWN_SPEAKER, dtype=np.int64)
    for number, window in enumerate(windows):
        names = [speakers[row] for row in window.rows.tolist()]
        speaker[number, : len(names)] = _number_speakers(names)
    scored = [window.scored for window in windows] or [np.zeros(0, dtype=bool)]
    return {
        "turns": turns,
        "padding_mask": ~is_turn,
        "speaker": speaker,
        "scored": np.flatnonzero(np.concatenate(scored)),
    }


def _number_speakers(names: Sequence[str | None]) -> list[int]:
    number_of: dict[str, int] = {}
    return [
        UNKNOWN_SPEAKER if name is None else number_of.setdefault(name, len(number_of))
        for name in names
    ]
