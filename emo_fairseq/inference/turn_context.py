"""Predict for a turn between others that have been encoded before: live, and for explanations."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from emo_fairseq.data.dialogue_windows import Window
from emo_fairseq.inference.chunks import ONE_DIALOGUE, Chunk
from emo_fairseq.inference.encoded_turns import EncodedTurn, ItemFacts
from emo_fairseq.inference.engine import Engine, ModelEngine
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.stopping import ShouldStop, never
from emo_fairseq.modalities import TEXT

_BATCH = 32


class TurnContext(NamedTuple):
    """The turns around a turn, as one model reads them.

    Attributes:
        before: the last turns before it, in their order.
        after: the turns after it, in their order.
        n_before: how many turns there are before it.
    """

    before: Sequence[EncodedTurn] = ()
    after: Sequence[EncodedTurn] = ()
    n_before: int = 0


def encode_context(
    engine: Engine,
    before: Sequence[Item],
    item: Item,
    after: Sequence[Item],
    should_stop: ShouldStop = never,
) -> list[TurnContext]:
    """Encode the turns before and after a turn, and return its context for each member."""
    contexts = []
    for member in engine.members:
        sides = [[turn for turn in side if member.reads(turn)] for side in (before, after)]
        items = [replace(turn, dialogue=ONE_DIALOGUE) for turn in (*sides[0], item, *sides[1])]
        n_before = len(sides[0])
        if member.preprocessor.encodes_dialogues:
            rows = [row for row in range(len(items)) if row != n_before]
            read = member.read(Chunk(items, rows), _BATCH, should_stop=should_stop)
            turns = [turn for turn in read if isinstance(turn, EncodedTurn)]
        else:
            turns = [_without_recording(turn) for turn in (*sides[0], *sides[1])]
        contexts.append(TurnContext(turns[:n_before], turns[n_before:], n_before))
    return contexts


def _without_recording(item: Item) -> EncodedTurn:
    return EncodedTurn(item.without_recordings(), ItemFacts())


def predict_in_context(
    engine: Engine,
    items: Sequence[Item],
    contexts: Sequence[TurnContext],
    should_stop: ShouldStop = never,
) -> tuple[list[Prediction], list[list[EncodedTurn | None]]]:
    """Predict for items, each as the one turn in the same context.

    Returns:
        The N predictions, and for each member the N encoded turns; None of an item that it does
        not read.
    """
    of_members, encoded = [], []
    for member, context in zip(engine.members, contexts, strict=True):
        numbers = [number for number, item in enumerate(items) if member.reads(item)]
        results = _predict(member, [items[number] for number in numbers], context, should_stop)
        predictions: list[Prediction | None] = [None] * len(items)
        turns: list[EncodedTurn | None] = [None] * len(items)
        for number, (prediction, turn) in zip(numbers, results, strict=True):
            predictions[number], turns[number] = prediction, turn
        of_members.append(predictions)
        encoded.append(turns)
    light = [item.without_recordings() for item in items]
    return engine.combine(light, of_members), encoded


def _predict(
    member: ModelEngine, items: Sequence[Item], context: TurnContext, should_stop: ShouldStop
) -> list[tuple[Prediction, EncodedTurn]]:
    chunks = [_chunk(member, items, context)]
    if member.preprocessor.groups_items:  # which would normalize the items together
        chunks = [_chunk(member, [item], context) for item in items]
    read = [x for chunk in chunks for x in member.read(chunk, _BATCH, should_stop=should_stop)]
    if not member.preprocessor.encodes_dialogues:
        predictions = [output for output in read if isinstance(output, Prediction)]
        return list(zip(predictions, map(_without_recording, items), strict=True))
    turns = [output for output in read if isinstance(output, EncodedTurn)]
    before, after, n_before = context
    n_around = len(before) + len(after)
    n_left_out = n_before - len(before)
    window = member.preprocessor.window_of(n_before, n_left_out + n_around + 1)
    rows = window.rows - n_left_out - (window.rows > n_before)  # in `before` and then `after`
    windows = [
        Window(np.where(window.scored, n_around + number, rows), window.scored)
        for number in range(len(turns))
    ]
    classified = member.classify(
        [*before, *after, *turns], windows, _BATCH, should_stop=should_stop
    )
    return [(classified[n_around + number], turn) for number, turn in enumerate(turns)]


def _chunk(member: ModelEngine, items: Sequence[Item], context: TurnContext) -> Chunk:
    """Put each item between the texts that are joined to its own."""
    reach = member.preprocessor.reach
    texts_before = [turn.item for turn in context.before if turn.item.has(TEXT)]
    past = texts_before[max(0, len(texts_before) - reach.past) :]
    future = [turn.item for turn in context.after if turn.item.has(TEXT)][: reach.future]
    turns: list[Item] = []
    rows: list[int] = []
    for number, item in enumerate(items):
        rows.append(len(turns) + len(past))
        turns += [replace(turn, dialogue=str(number)) for turn in (*past, item, *future)]
    return Chunk(turns, rows)
