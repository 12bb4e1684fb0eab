"""Chunks of items: each is predicted once, beside the turns that are joined to it."""

import math

import numpy as np
import pytest

from emo_fairseq.inference import chunks
from emo_fairseq.inference.chunks import Chunk, ChunkSize, Reach
from emo_fairseq.inference.inputs import Item

SOUND = np.zeros(4, dtype=np.float32)
# Turns of dialogue a, of which one has no text, an item of none, and turns of dialogue b.
NAMES = ["a0", "a1", "a2-", "a3", "a4", "a5", "alone", "b0", "b1", "b2"]


def items():
    for name in NAMES:
        dialogue = None if name == "alone" else name[0]
        yield Item(name, SOUND, None if name.endswith("-") else "words", dialogue=dialogue)


def names_of(chunk: Chunk) -> tuple[list[str], list[str], list[str]]:
    names = [item.name for item in chunk.items]
    return names[: chunk.rows.start], [names[x] for x in chunk.rows], names[chunk.rows.stop :]


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, math.inf])
@pytest.mark.parametrize("reach", [Reach(), Reach(2, 0), Reach(0, 2), Reach(3, 1)])
def test_each_item_is_in_one_chunk_with_the_turns_around_it(at_once, reach):
    rows = []
    for chunk in chunks.divide(items(), ChunkSize(at_once), reach):
        past, own, after = names_of(chunk)
        rows += own
        assert len(own) <= at_once
        assert all(item.samples is None for item in chunk.items[: len(past)])
        assert all(chunk.items[x].samples is SOUND for x in chunk.rows)
        for name in own:
            if name == "alone":
                continue
            turns = [x for x in NAMES if x[0] == name[0] and x != "alone"]
            place = turns.index(name)
            before = [x for x in turns[:place] if not x.endswith("-")]
            following = [x for x in turns[place + 1 :] if not x.endswith("-")]
            needed = {*before[len(before) - min(len(before), reach.past) :]}
            needed |= {*following[: reach.future]}
            assert needed <= {*past, *own, *after}
    assert rows == NAMES


def test_items_are_taken_as_they_are_needed():
    taken = []

    def counted():
        for item in items():
            taken.append(item.name)
            yield item

    divided = chunks.divide(counted(), ChunkSize(2), Reach(1, 1))
    assert names_of(next(divided)) == ([], ["a0", "a1"], ["a2-", "a3"])
    assert taken == NAMES[:4]
    assert names_of(next(divided)) == (["a1"], ["a2-", "a3"], ["a4"])
    assert taken == NAMES[:5]
    # Nothing after the last turn of a dialogue is joined to it.
    assert names_of(next(divided)) == (["a3"], ["a4", "a5"], ["alone"])


def test_long_recordings_make_small_chunks():
    sizes = [len(names_of(x)[1]) for x in chunks.divide(items(), ChunkSize(9, 9), Reach(1, 1))]
    assert sizes == [3, 3, 3, 1]  # of 4 samples each
    sizes = [len(x.rows) for x in chunks.divide(items(), ChunkSize(9, 1), Reach())]
    assert sizes == [1] * len(NAMES)
