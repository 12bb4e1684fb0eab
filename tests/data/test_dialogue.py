"""Neighboring turns: by turn number, inside one dialogue, the nearest first."""

from dataclasses import replace

import numpy as np
import pytest
from codes import raises

from data_prep.schema import Utterance
from data_prep.tokens.folder import SpecialIds
from emo_fairseq.data.context_rows import NO_PREFIX, ContextRows
from emo_fairseq.data.neighbors import Neighbors, NeighborTable, neighbors_of
from emo_fairseq.data.turn_order import find_hidden, find_neighbors, group_turns


def turn(dialogue: str | None, number: int | None) -> Utterance:
    return Utterance(id=f"{dialogue}_{number}", text="words", dialogue=dialogue, turn=number)


# Out of order on purpose: rows 0-3 are turns 2, 0, 1, 3 of one dialogue.
ROWS = [turn("a", 2), turn("a", 0), turn("a", 1), turn("a", 3), turn("b", 2), turn("b", 3)]
ALL = np.ones(len(ROWS), dtype=bool)


def test_turns_are_ordered_by_number_and_the_nearest_come_first() -> None:
    found = find_neighbors(ROWS, ALL, n_past=2, n_future=1)
    assert found[0] == Neighbors(past=[2, 1], future=[3])
    assert found[1] == Neighbors(past=[], future=[2])
    assert found[3] == Neighbors(past=[0, 2], future=[])


def test_no_turn_of_another_dialogue_comes_in() -> None:
    found = find_neighbors(ROWS, ALL, n_past=9, n_future=9)
    assert found[4] == Neighbors(past=[], future=[5])
    assert {row for n in found[:4] for row in (*n.past, *n.future)} == {0, 1, 2, 3}


def test_dialogues_of_two_corpora_with_one_name_are_two() -> None:
    corpora = ["meld", "iemocap", "meld", None, "iemocap", None]
    rows = [replace(turn("1", n // 2), corpus=corpus) for n, corpus in enumerate(corpora)]
    assert [part.tolist() for part in group_turns(rows)] == [[3, 5], [0, 2], [1, 4]]
    with raises("turn-duplicate") as error:
        group_turns([*rows, replace(rows[0], id="twin")])
    assert "dialogue '1': 1_0 and twin" in str(error.value)


def test_turns_that_say_nothing_are_passed_over() -> None:
    usable = ALL.copy()
    usable[2] = False  # turn 1
    assert find_neighbors(ROWS, usable, 1, 1)[0] == Neighbors(past=[1], future=[3])


@pytest.mark.parametrize("place", [(None, 1), ("a", None), (None, None)])
def test_a_row_without_a_place_stands_alone(place: tuple[str | None, int | None]) -> None:
    rows = [turn("a", 0), turn(*place), turn("a", 2)]
    found = find_neighbors(rows, np.ones(3, dtype=bool), 5, 5)
    assert found[1] == Neighbors([], [])
    assert found[0] == Neighbors([], [2])


def test_two_rows_of_one_turn_are_refused() -> None:
    rows = [turn("a", 0), turn("a", 1), Utterance(id="twin", text="x", dialogue="a", turn=1)]
    with raises("turn-duplicate") as error:
        find_neighbors(rows, np.ones(3, dtype=bool), 1, 1)
    assert "dialogue 'a': a_1 and twin" in str(error.value)


def test_turns_of_another_set_are_told_where_they_are_asked_for() -> None:
    """Turns 1 and 2 of dialogue a are the set: 1 misses what was before, 2 what comes after."""
    own = np.array([True, False, True, False, False, False])
    assert np.flatnonzero(find_hidden(ROWS, ALL, own, 1, 0)).tolist() == [2]
    assert np.flatnonzero(find_hidden(ROWS, ALL, own, 0, 1)).tolist() == [0]
    assert np.flatnonzero(find_hidden(ROWS, ALL, own, 1, 1)).tolist() == [0, 2]
    assert not find_hidden(ROWS, ALL, ALL, 9, 9).any()


def test_neighbors_are_those_of_each_dialogue_alone() -> None:
    draw = np.random.default_rng(5)
    for _ in range(20):
        turns = [(name, number) for name in "abc" for number in range(12)]
        rows = [turn(*turns[i]) for i in draw.permutation(len(turns))[:25]]
        rows += [turn("a", None), turn(None, 3)]
        usable = draw.random(len(rows)) < 0.7
        reach = draw.integers(4, size=2)
        expected = [Neighbors([], []) for _ in rows]
        for own in group_turns(rows):
            numbers = [rows[row].turn for row in own]
            assert numbers == sorted(numbers)
            around = neighbors_of(own.tolist(), usable, *reach)
            for row, neighbors in zip(own, around, strict=True):
                expected[row] = neighbors
        found = find_neighbors(rows, usable, *reach)
        assert list(found) == expected
        assert list(NeighborTable.of(expected)) == expected
        chosen = draw.random(len(rows)) < 0.5
        hidden = [any(not chosen[row] for part in around for row in part) for around in expected]
        np.testing.assert_array_equal(
            find_hidden(rows, usable, chosen, *reach), chosen & usable & hidden
        )


def test_sizes_are_those_of_the_items_that_are_read() -> None:
    draw = np.random.default_rng(6)
    rows = [turn("abc"[i % 3], i // 3) for i in range(30)]
    texts = [np.append(draw.integers(5, 9, size=draw.integers(6)), 2) for _ in rows]
    lengths = np.array([len(text) for text in texts])
    for max_tokens in (2, 3, 5, 9, 14, 99):
        present = draw.random(len(rows)) < 0.8
        around = find_neighbors(rows, present, 3, 2)
        prefixes = [NO_PREFIX if i % 4 else np.array([7, 8]) for i in range(len(rows))]
        items = ContextRows(texts, lengths, present, around, prefixes, SpecialIds(), max_tokens)
        assert items.sizes.tolist() == [len(items[row][0]) for row in range(len(rows))]
        whole = ContextRows(texts, lengths, present, around, prefixes, SpecialIds(), 999)
        is_cut = [present[row] and len(whole[row][0]) > max_tokens for row in range(len(rows))]
        assert items.is_truncated.tolist() == is_cut
