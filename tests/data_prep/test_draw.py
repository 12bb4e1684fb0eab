"""The splits that `data_prep.folds.draw` draws."""

from collections import Counter
from itertools import product

import pytest
from codes import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.folds.draw import NEAR, coarse_sentence, draw_splits

SHARES = {"test": 0.2, "valid": 0.1}
IEMOCAP = {"Ses01": 1085, "Ses02": 1023, "Ses03": 1151, "Ses04": 1031, "Ses05": 1241}


def distance(sizes: dict[str, int], split_of: dict[str, str], shares: dict[str, float]) -> float:
    """By how much of all rows the splits miss their shares."""
    total = sum(sizes.values())
    rows = Counter({"train": 0})
    for group, split in split_of.items():
        rows[split] += sizes[group]
    wanted = {"train": 1 - sum(shares.values()), **shares}
    return sum(abs(rows[split] / total - share) for split, share in wanted.items())


def nearest(sizes: dict[str, int], shares: dict[str, float]) -> float:
    """The least distance of all ways that leave no split empty, by trying each."""
    splits = ["train", *shares]
    return min(
        distance(sizes, dict(zip(sizes, way, strict=True)), shares)
        for way in product(splits, repeat=len(sizes))
        if set(way) == set(splits)
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 50), min_size=3, max_size=6),
    st.floats(0.05, 0.45),
    st.floats(0.05, 0.45),
    st.integers(0, 5),
)
def test_few_groups_are_divided_as_by_brute_force(
    rows: list[int], test: float, valid: float, seed: int
) -> None:
    sizes = {f"g{number}": n for number, n in enumerate(rows)}
    shares = {"test": test, "valid": valid}
    split_of = draw_splits(sizes, shares, seed)
    assert set(split_of) == set(sizes)
    assert set(split_of.values()) == {"train", "test", "valid"}
    assert distance(sizes, split_of, shares) <= nearest(sizes, shares) + NEAR + 1e-9


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 30), min_size=17, max_size=30), st.integers(0, 3))
def test_many_groups_are_drawn_nearly_as_near_as_they_can_be(rows: list[int], seed: int) -> None:
    """Of two splits, whose nearest way is the sum of some groups that is nearest."""
    sizes = {f"g{number}": n for number, n in enumerate(rows)}
    total, sums = sum(rows), {0}
    for n in rows:
        sums |= {other + n for other in sums}
    best = min(2 * abs(n / total - 0.2) for n in sums - {0, total})
    reached = distance(sizes, draw_splits(sizes, {"test": 0.2}, seed), {"test": 0.2})
    assert reached <= best + NEAR + 1e-9


def test_sessions_of_iemocap_are_three_one_one() -> None:
    drawn = {seed: draw_splits(IEMOCAP, SHARES, seed) for seed in range(8)}
    for split_of in drawn.values():
        assert sorted(Counter(split_of.values()).values()) == [1, 1, 3]
    assert len({tuple(sorted(split_of.items())) for split_of in drawn.values()}) > 1
    sentence = coarse_sentence(IEMOCAP, drawn[1], SHARES, "session")
    assert sentence is not None
    assert sentence.startswith("5 sessions are too coarse for the requested shares: train ")


@pytest.mark.parametrize("seed", range(8))
def test_of_eight_speakers_two_are_tested(seed: int) -> None:
    """6, 1 and 1 is as near, but its test split has half of its share."""
    split_of = draw_splits({f"s{n}": 30 for n in range(8)}, SHARES, seed)
    assert Counter(split_of.values()) == {"train": 5, "test": 2, "valid": 1}


def test_one_seed_draws_the_same_and_rows_fit_exactly() -> None:
    sizes = {f"r{n:04d}": 1 for n in range(1000)}
    split_of = draw_splits(sizes, SHARES, seed=3)
    assert Counter(split_of.values()) == {"train": 700, "test": 200, "valid": 100}
    assert draw_splits(dict(reversed(sizes.items())), SHARES, seed=3) == split_of
    assert draw_splits(sizes, SHARES, seed=4) != split_of
    assert coarse_sentence(sizes, split_of, SHARES, "row") is None


def test_a_split_for_which_every_group_is_too_large_is_not_empty() -> None:
    sizes = {f"g{n}": 10 + n for n in range(20)}
    split_of = draw_splits(sizes, {"test": 0.001, "valid": 0.2}, seed=1)
    (tested,) = [group for group, split in split_of.items() if split == "test"]
    assert sizes[tested] <= 12


@pytest.mark.parametrize("shares", [{"test": -0.1}, {"test": 0.5, "valid": 0.5}, {"test": 2.0}])
def test_shares_that_leave_nothing_for_train_are_refused(shares: dict[str, float]) -> None:
    with raises("share-out-of-range"):
        draw_splits({"a": 5, "b": 3, "c": 2}, shares, seed=0)


def test_fewer_groups_than_splits_are_refused() -> None:
    with raises("groups-too-few"):
        draw_splits({"a": 5, "b": 3}, SHARES, seed=0)
    assert draw_splits({"a": 5, "b": 3}, {"test": 0.0}, seed=0) == {"a": "train", "b": "train"}
