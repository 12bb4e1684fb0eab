"""Turns after the encoders of their modalities, and the windows in which a dialogue is read.

A model with a dialogue encoder runs in two steps: the turns are encoded in batches of similar
length, as utterances are, and what is kept of each is one vector; then windows of dialogues are
classified by these. So no more recordings are in memory than those of a few batches.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from emo_fairseq.data.dialogue_windows import Window, collate_windows, plan_windows
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Truncation


class ItemFacts(NamedTuple):
    """What a prediction holds of its item, beside the outputs of the model.

    Attributes:
        modalities: that the item has.
        warnings: sentences about it.
        truncations: what was not read of it.
    """

    modalities: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    truncations: tuple[Truncation, ...] = ()


class EncodedTurn(NamedTuple):
    """A turn as its dialogue needs it.

    Attributes:
        item: without its recording.
        facts: of the item; empty where nothing is predicted for it.
        embedding: (E,), see :meth:`RobertaEMOModel.embed`; None where the model has no dialogue
            encoder.
    """

    item: Item
    facts: ItemFacts
    embedding: np.ndarray | None = None


class WindowBatch(NamedTuple):
    """Input of :meth:`RobertaEMOModel.classify`.

    Attributes:
        rows: numbers of the turns that are scored, in the order of the outputs.
        embedding: (U, E) of all turns of the windows.
        dialogue: see :mod:`emo_fairseq.modules.dialogue.base`.
    """

    rows: list[int]
    embedding: np.ndarray
    dialogue: dict[str, np.ndarray]


def window_batches(
    turns: Sequence[EncodedTurn], windows: Sequence[Window], batch_size: int
) -> Iterator[WindowBatch]:
    """Yield batches of whole windows, of at most `batch_size` turns unless a window is longer."""
    speakers = [turn.item.speaker for turn in turns]
    start = 0
    while start < len(windows):
        stop, n_turns = start + 1, len(windows[start].rows)
        while stop < len(windows) and n_turns + len(windows[stop].rows) <= batch_size:
            n_turns += len(windows[stop].rows)
            stop += 1
        chosen = windows[start:stop]
        rows = np.concatenate([window.rows for window in chosen])
        scored = np.concatenate([window.scored for window in chosen])
        embeddings = [embedding for row in rows if (embedding := turns[row].embedding) is not None]
        yield WindowBatch(
            rows[scored].tolist(), np.stack(embeddings), collate_windows(chosen, speakers)
        )
        start = stop


def window_of(position: int, n_turns: int, size: int, causal: bool) -> Window:
    """Return the window in which one turn of a dialogue is scored, with that turn alone scored.

    >>> window_of(1, 3, size=64, causal=False)
    Window(rows=array([0, 1, 2]), scored=array([False,  True, False]))
    """
    for window in plan_windows([range(n_turns)], size, causal):
        is_turn = window.rows == position
        if (window.scored & is_turn).any():
            return Window(window.rows, is_turn)
    raise AssertionError(f"turn {position} of {n_turns} is in no window")
