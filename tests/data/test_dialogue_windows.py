"""Windows of dialogues against slow references."""

import numpy as np
import pytest

from emo_fairseq.data.dialogue_windows import Window, collate_windows, plan_windows

_SIZES = [1, 2, 3, 4, 5, 8, 64]


def _plan(n_turns: int, size: int, causal: bool) -> list[Window]:
    return plan_windows([range(n_turns)], size, causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", _SIZES)
def test_each_turn_is_scored_once(size, causal):
    for n_turns in range(1, 40):
        windows = _plan(n_turns, size, causal)
        scored = np.concatenate([window.rows[window.scored] for window in windows])
        assert sorted(scored.tolist()) == list(range(n_turns))
        for window in windows:
            assert 1 <= len(window.rows) <= size
            assert window.scored.any()
            assert (np.diff(window.rows) == 1).all()  # consecutive turns


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", _SIZES)
def test_a_turn_is_scored_where_its_poorer_side_has_most_context(size, causal):
    for n_turns in range(1, 40):
        windows = _plan(n_turns, size, causal)
        for turn in range(n_turns):
            contexts, scoring = [], None
            for number, window in enumerate(windows):
                rows = window.rows.tolist()
                if turn not in rows:
                    continue
                past, future = rows.index(turn), len(rows) - 1 - rows.index(turn)
                contexts.append((past if causal else min(past, future), number))
                if window.scored[rows.index(turn)]:
                    scoring = contexts[-1]
            best = max(context for context, _ in contexts)
            assert scoring == next(pair for pair in contexts if pair[0] == best)


@pytest.mark.parametrize("size", [4, 8, 64])
def test_every_turn_of_a_long_dialogue_has_enough_context(size):
    n_turns = 5 * size + 3
    for window in _plan(n_turns, size, causal=True):
        places = np.flatnonzero(window.scored)
        assert (places >= np.minimum(window.rows[places], size // 2 - 1)).all()
    for window in _plan(n_turns, size, causal=False):
        places = np.flatnonzero(window.scored)
        ends = np.minimum(window.rows[places], n_turns - 1 - window.rows[places])
        poorer = np.minimum(places, size - 1 - places)
        assert (poorer >= np.minimum(ends, size // 4 - 1)).all()


@pytest.mark.parametrize("size", _SIZES)
def test_causal_context_does_not_depend_on_what_comes_later(size):
    context = {}
    for n_turns in range(1, 40):
        for window in _plan(n_turns, size, causal=True):
            for place in np.flatnonzero(window.scored):
                rows = window.rows[: place + 1].tolist()
                assert context.setdefault(rows[-1], rows) == rows


def test_a_dialogue_that_fits_is_one_window_in_its_own_order():
    windows = plan_windows([[5, 1, 3], [], [0]], size=3, causal=True)
    assert [window.rows.tolist() for window in windows] == [[5, 1, 3], [0]]
    assert all(window.scored.all() for window in windows)


def test_no_dialogues_are_no_windows():
    assert plan_windows([], size=4, causal=False) == []


def test_collated_windows_equal_a_slow_reference():
    rng = np.random.default_rng(0)
    speakers = [None if rng.random() < 0.2 else f"s{rng.integers(4)}" for _ in range(60)]
    dialogues = np.split(rng.permutation(60), [1, 4, 20, 27])
    windows = plan_windows(dialogues, size=6, causal=False)
    batch = collate_windows(windows, speakers)
    rows = np.concatenate([window.rows for window in windows])
    scored = []
    for number, window in enumerate(windows):
        names = {}
        for place in range(6):
            is_padding = place >= len(window.rows)
            assert batch["padding_mask"][number, place] == is_padding
            turn = int(batch["turns"][number, place])
            speaker = int(batch["speaker"][number, place])
            if is_padding:
                assert (turn, speaker) == (0, -1)
                continue
            assert rows[turn] == window.rows[place]
            name = speakers[window.rows[place]]
            assert speaker == (-1 if name is None else names.setdefault(name, len(names)))
            if window.scored[place]:
                scored.append(turn)
    assert batch["scored"].tolist() == scored
    assert sorted(rows[scored].tolist()) == list(range(60))


def test_collated_types():
    windows = [Window(np.array([1]), np.array([False])), Window(np.array([0]), np.array([True]))]
    batch = collate_windows(windows, [None, None])
    assert batch["padding_mask"].dtype == np.bool_
    assert {batch[name].dtype for name in ("turns", "speaker", "scored")} == {np.dtype(np.int64)}
    assert batch["scored"].tolist() == [1]


def test_collated_without_windows():
    batch = collate_windows([], [])
    assert batch["turns"].shape == batch["padding_mask"].shape == (0, 0)
    assert batch["scored"].shape == (0,)
