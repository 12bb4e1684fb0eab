"""Predict for a turn between others that have been encoded before: live, and for explanations."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from emo_fairseq.data.dialogue_windows import Window
from emo_fairseq.inference.chunks import Chunk
from emo_fairseq.inference.encoded_turns import EncodedTurn, ItemFacts
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.predictor import EmotionPredictor
from emo_fairseq.inference.stopping import ShouldStop, never
from emo_fairseq.types import TEXT

_BATCH = 32
_NAME = "dialogue"


def encode_around(
    predictor: EmotionPredictor,
    before: Sequence[Item],
    item: Item,
    after: Sequence[Item],
    should_stop: ShouldStop = never,
) -> tuple[list[EncodedTurn], list[EncodedTurn]]:
    """Encode the turns before and after a turn.

    Args:
        predictor: whose model reads them.
        before: the turns before it, in their order.
        item: the turn.
        after: the turns after it, in their order.
        should_stop: see :meth:`EmotionPredictor.predict`.
    """
    if not predictor.preprocessor.encodes_dialogues:
        return _without_recordings(before), _without_recordings(after)
    items = [replace(turn, dialogue=_NAME) for turn in (*before, item, *after)]
    rows = [row for row in range(len(items)) if row != len(before)]
    turns = predictor.encode_chunks([Chunk(items, rows)], _BATCH, should_stop=should_stop)
    return turns[: len(before)], turns[len(before) :]


def _without_recordings(items: Sequence[Item]) -> list[EncodedTurn]:
    return [EncodedTurn(replace(item, samples=None), ItemFacts()) for item in items]


def predict_in_place(
    predictor: EmotionPredictor,
    items: Sequence[Item],
    before: Sequence[EncodedTurn] = (),
    after: Sequence[EncodedTurn] = (),
    n_before: int | None = None,
    should_stop: ShouldStop = never,
) -> list[tuple[Prediction, EncodedTurn]]:
    """Predict for items, each as the one turn between the same others.

    Args:
        predictor: its model.
        items: of which each is a dialogue with the others.
        before: the turns before it, in their order.
        after: the turns after it, in their order.
        n_before: how many turns there are before it, of which `before` are the last; by default no
            more.
        should_stop: see :meth:`EmotionPredictor.predict`.

    Returns:
        For each item its prediction, and the encoded turn.
    """
    chunks = [_chunk(predictor, items, before, after)]
    if predictor.preprocessor.groups_items:  # which would normalize the items together
        chunks = [_chunk(predictor, [item], before, after) for item in items]
    if not predictor.preprocessor.encodes_dialogues:
        found = predictor.predict_chunks(chunks, _BATCH, should_stop=should_stop)
        return list(zip(found, _without_recordings(items), strict=True))
    turns = predictor.encode_chunks(chunks, _BATCH, should_stop=should_stop)
    n_around = len(before) + len(after)
    n_left_out = 0 if n_before is None else n_before - len(before)
    place = n_left_out + len(before)
    window = predictor.preprocessor.window_of(place, n_left_out + n_around + 1)
    rows = window.rows - n_left_out - (window.rows > place)  # in `before` and then `after`
    windows = [
        Window(np.where(window.scored, n_around + number, rows), window.scored)
        for number in range(len(turns))
    ]
    predictions = predictor.classify(
        [*before, *after, *turns], windows, _BATCH, should_stop=should_stop
    )
    return [(predictions[n_around + number], turn) for number, turn in enumerate(turns)]


def _chunk(
    predictor: EmotionPredictor,
    items: Sequence[Item],
    before: Sequence[EncodedTurn],
    after: Sequence[EncodedTurn],
) -> Chunk:
    """Put each item between the texts that are joined to its own."""
    reach = predictor.preprocessor.reach
    texts_before = [turn.item for turn in before if turn.item.has(TEXT)]
    past = texts_before[max(0, len(texts_before) - reach.past) :]
    future = [turn.item for turn in after if turn.item.has(TEXT)][: reach.future]
    turns: list[Item] = []
    rows: list[int] = []
    for number, item in enumerate(items):
        rows.append(len(turns) + len(past))
        turns += [replace(turn, dialogue=str(number)) for turn in (*past, item, *future)]
    return Chunk(turns, rows)
