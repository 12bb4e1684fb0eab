"""Samplers: each row once, within the limits, and each with what it is named after."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emo_fairseq.data.samplers import (
    SAMPLERS,
    BatchLimits,
    RowTraits,
    distribute_classes,
    rank_in_group,
)
from emo_fairseq.data.utterance_dataset import (
    bucketed_permutation,
    length_buckets,
)

Batches = list[np.ndarray]

# Of a corpus of seven emotions, as uneven as those of dialogues are.
CLASS_SHARES = (0.47, 0.174, 0.12, 0.11, 0.068, 0.029, 0.029)
N_ROWS, N_SPEAKERS = 4000, 12
BALANCED = ("class_balanced", "speaker_aware")


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def traits() -> RowTraits:
    """Utterances whose lengths spread as spoken ones do."""
    seconds = np.clip(rng(0).lognormal(1.3, 0.6, N_ROWS), 0.5, 30.0)
    return RowTraits(
        num_tokens=(100 * seconds).astype(np.int64),
        labels=rng(1).choice(len(CLASS_SHARES), N_ROWS, p=CLASS_SHARES),
        speakers=rng(2).integers(0, N_SPEAKERS, N_ROWS),
    )


def hand_made(labels: str = "", speakers: str = "", lengths: Any = None) -> RowTraits:
    """Letters are classes or speakers, ``?`` is unknown."""

    def numbers(letters: str) -> np.ndarray:
        return np.array([-1 if letter == "?" else ord(letter) - ord("a") for letter in letters])

    n = len(labels or speakers)
    return RowTraits(
        num_tokens=np.full(n, 10) if lengths is None else np.asarray(lengths),
        labels=numbers(labels or "?" * n),
        speakers=numbers(speakers or "?" * n),
    )


def by_length(traits: RowTraits, seed: int = 1) -> np.ndarray:
    """All rows, in the order in which the dataset gives them."""
    np.random.seed(seed)
    return bucketed_permutation(length_buckets([traits.num_tokens]))


def batches_of(sampler: str, traits: RowTraits, seed: int = 1, **limits: Any) -> Batches:
    rows = by_length(traits, seed)
    return SAMPLERS[sampler](rows, traits, BatchLimits(**limits), rng(seed))


def class_counts(batches: Batches, traits: RowTraits) -> np.ndarray:
    n_classes = traits.labels.max() + 1
    return np.array([np.bincount(traits.labels[rows], minlength=n_classes) for rows in batches])


def padding_share(batches: Batches, traits: RowTraits) -> float:
    padded = sum(traits.num_tokens[rows].max() * len(rows) for rows in batches)
    return 1.0 - traits.num_tokens[np.concatenate(batches)].sum() / padded


def compositions(batches: Batches) -> set[frozenset[int]]:
    return {frozenset(rows.tolist()) for rows in batches}


# -- all of them -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_each_given_row_comes_once_and_no_batch_is_too_large(sampler: str, data: Any) -> None:
    n = data.draw(st.integers(1, 80))
    numbers = data.draw(st.integers(0, 2**16))
    traits = RowTraits(
        num_tokens=rng(numbers).integers(0, 50, n),
        labels=rng(numbers + 1).integers(-1, data.draw(st.integers(0, 9)), n),
        speakers=rng(numbers + 2).integers(-1, data.draw(st.integers(0, 9)), n),
    )
    rows = rng(numbers + 3).permutation(n)[: data.draw(st.integers(0, n))]
    rows = rows[np.argsort(traits.num_tokens[rows])]
    most_rows = data.draw(st.none() | st.integers(1, 20))
    most_tokens = data.draw(st.none() | st.integers(50, 400))
    batches = SAMPLERS[sampler](rows, traits, BatchLimits(most_rows, most_tokens), rng(numbers))
    assert sorted(row for batch in batches for row in batch) == sorted(rows)
    for batch in batches:
        assert 0 < len(batch) <= (most_rows or n)
        assert len(batch) * traits.num_tokens[batch].max() <= (most_tokens or np.inf)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("limits", [{"max_sentences": 16}, {"max_tokens": 6000}])
def test_a_seed_fixes_the_batches_and_another_composes_others(
    traits: RowTraits, sampler: str, limits: dict[str, int]
) -> None:
    one, again, other = (batches_of(sampler, traits, seed, **limits) for seed in (1, 1, 2))
    assert [rows.tolist() for rows in one] == [rows.tolist() for rows in again]
    assert len(compositions(one) & compositions(other)) < 0.1 * len(one)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_padding_is_a_fraction_of_that_of_random_batches(traits: RowTraits, sampler: str) -> None:
    at_random = np.array_split(rng().permutation(N_ROWS), N_ROWS // 16)
    assert padding_share(at_random, traits) > 0.45
    assert padding_share(batches_of(sampler, traits, max_sentences=16), traits) < 0.15


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_max_tokens_are_made_use_of(traits: RowTraits, sampler: str) -> None:
    full = traits.num_tokens.sum() / 6000
    assert len(batches_of(sampler, traits, max_tokens=6000)) < 1.3 * full


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_limits_as_few_batches_as_the_sampler_allows(
    traits: RowTraits, sampler: str
) -> None:
    expected = N_SPEAKERS if sampler == "speaker_grouped" else 1
    assert len(batches_of(sampler, traits)) == expected


def test_by_length_takes_the_rows_as_they_come() -> None:
    traits = hand_made("aabba", lengths=[1, 2, 3, 9, 9])
    rows = np.array([1, 0, 2, 4, 3])
    for limits, expected in (
        (BatchLimits(max_sentences=2), [[1, 0], [2, 4], [3]]),
        (BatchLimits(max_tokens=9), [[1, 0, 2], [4], [3]]),
        (BatchLimits(), [[1, 0, 2, 4, 3]]),
    ):
        batches = SAMPLERS["length"](rows, traits, limits, rng())
        assert [batch.tolist() for batch in batches] == expected


# -- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", BALANCED)
@pytest.mark.parametrize(
    ("labels", "batch_size", "expected"),
    [
        ("aaaabbbbcccc", 6, {(2, 2, 2): 2}),
        ("aaaaaaabbbbbcccc", 8, {(3, 3, 2): 1, (4, 2, 2): 1}),
        ("aaaaaabbbbcc", 6, {(2, 2, 2): 1, (4, 2, 0): 1}),  # c: two together, not one and one
        ("aaaaaaabbc", 5, {(3, 2, 0): 1, (4, 0, 1): 1}),  # the only c cannot but be alone
        ("aaabbb", 4, {(3, 0): 1, (0, 3): 1}),  # three go together
        ("aaaaabbbbb", 5, {(3, 2): 1, (2, 3): 1}),
        ("aaaaaaaaa", 4, {(3,): 3}),  # as few batches as 4 allow, all equally full
    ],
)
def test_counts_of_classes_by_hand(
    sampler: str, labels: str, batch_size: int, expected: dict[tuple[int, ...], int]
) -> None:
    traits = hand_made(labels, lengths=rng().integers(5, 50, len(labels)))
    for seed in range(10):
        counts = class_counts(batches_of(sampler, traits, seed, max_sentences=batch_size), traits)
        assert Counter(map(tuple, counts.tolist())) == expected


@pytest.mark.parametrize("sampler", BALANCED)
def test_equal_classes_have_equal_shares_of_every_batch(sampler: str) -> None:
    traits = hand_made("abcde" * 100, lengths=rng().integers(5, 50, 500))
    counts = class_counts(batches_of(sampler, traits, max_sentences=12), traits)
    assert len(counts) == 42  # of 11 or 12 rows, 5 classes
    assert (np.ptp(counts, axis=1) <= 1).all(), "within a batch"
    assert (np.ptp(counts, axis=0) <= 1).all(), "from batch to batch"


@pytest.mark.parametrize("sampler", BALANCED)
@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_no_row_of_an_uneven_corpus_lacks_a_positive(
    traits: RowTraits, sampler: str, batch_size: int
) -> None:
    counts = class_counts(batches_of(sampler, traits, max_sentences=batch_size), traits)
    assert (counts != 1).all()
    assert len(counts) == N_ROWS / batch_size
    assert (counts.sum(axis=1) == batch_size).all()


@pytest.mark.parametrize("sampler", BALANCED)
def test_hardly_a_row_lacks_a_positive_under_max_tokens(traits: RowTraits, sampler: str) -> None:
    """Of the largest class some do, where a batch of long rows has little room."""
    counts = class_counts(batches_of(sampler, traits, max_tokens=10_000), traits)
    assert 1 < counts.sum(axis=1).min() < 4
    assert (counts[:, 1:] == 1).sum() < 0.001 * N_ROWS
    assert (counts[:, 0] == 1).sum() < 0.05 * len(counts)


def test_unknown_classes_are_spread_and_make_no_pairs() -> None:
    traits = hand_made("aaaaaaaa????")
    batches = batches_of("class_balanced", traits, max_sentences=3)
    assert [(traits.labels[rows] == -1).sum() for rows in batches] == [1, 1, 1, 1]


def test_rows_of_a_rare_class_meet_others_in_another_epoch() -> None:
    """Though all lengths differ, so that the rows always come in the same order."""
    traits = hand_made("a" * 80 + "b" * 20, lengths=np.arange(100) * 100 + 100)
    rows = np.argsort(traits.num_tokens)
    limits = BatchLimits(max_sentences=10)
    partners = {
        frozenset(batch[traits.labels[batch] == 1].tolist())
        for seed in range(20)
        for batch in SAMPLERS["class_balanced"](rows, traits, limits, rng(seed))
    }
    assert len(partners) > 45, "of ten pairs an epoch"


@given(
    class_sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    room=st.integers(1, 20),
    seed=st.integers(0, 100),
)
@settings(max_examples=300, deadline=None)
def test_deal(class_sizes: list[int], room: int, seed: int) -> None:
    sizes = np.array(class_sizes)
    n_batches = -(-int(sizes.sum()) // room)
    counts = distribute_classes(sizes, n_batches, room, np.ones(len(sizes), bool), rng(seed))
    assert (counts >= 0).all()
    assert counts.sum(axis=0).tolist() == class_sizes
    assert (counts.sum(axis=1) > 0).all()
    assert (counts.sum(axis=1) <= room).all()
    if (sizes >= 2 * n_batches).all():
        assert (np.ptp(counts, axis=0) <= 1).all()
        assert np.ptp(counts.sum(axis=1)) <= 1


def test_deal_where_pairs_have_no_room() -> None:
    counts = distribute_classes(np.array([3, 3, 2]), 4, 2, np.ones(3, bool), rng())
    assert counts.sum(axis=1).tolist() == [2, 2, 2, 2]
    assert counts.sum(axis=0).tolist() == [3, 3, 2]


# -- speakers --------------------------------------------------------------------------------------


def test_rows_of_a_class_come_from_as_many_speakers_as_can_be() -> None:
    """A speaker of k rows of a class can be in k batches at most, and is."""
    speakers = rng(5).choice(9, 160, p=np.arange(1, 10) / 45)
    labels = np.arange(160) % 2
    traits = RowTraits(rng(6).integers(5, 50, 160), labels, speakers)
    batches = batches_of("speaker_aware", traits, max_sentences=20)
    assert len(batches) == 8
    for label in (0, 1):
        most = np.minimum(np.bincount(speakers[labels == label]), len(batches)).sum()
        heard = [len({*speakers[rows[labels[rows] == label]]}) for rows in batches]
        assert sum(heard) == most


def test_rows_of_a_speaker_rarely_meet_where_batches_have_unlike_counts_of_a_class() -> None:
    """Two or three rows of each class in a batch of five."""
    n_alone = []
    for seed in range(50):
        traits = RowTraits(np.full(40, 10), np.arange(40) % 2, rng(seed).integers(0, 6, 40))
        for rows in batches_of("speaker_aware", traits, seed, max_sentences=5):
            who = {(traits.labels[row], traits.speakers[row]) for row in rows}
            n_alone.append(len(who))
    assert np.mean(n_alone) > 0.99 * 5


def test_positives_cross_speakers_more_than_by_chance(traits: RowTraits) -> None:
    def same_speaker(sampler: str) -> float:
        pairs = [
            traits.speakers[one] == traits.speakers[other]
            for batch in batches_of(sampler, traits, max_sentences=16)
            for one in batch
            for other in batch
            if one < other and traits.labels[one] == traits.labels[other]
        ]
        return float(np.mean(pairs))

    assert same_speaker("class_balanced") > 0.06
    assert same_speaker("speaker_aware") < 0.02


def test_speaker_aware_batches_have_the_class_counts_of_class_balanced_ones(
    traits: RowTraits,
) -> None:
    aware, balanced = (
        class_counts(batches_of(sampler, traits, max_sentences=16), traits) for sampler in BALANCED
    )
    np.testing.assert_array_equal(aware.sum(axis=0), balanced.sum(axis=0))
    np.testing.assert_array_equal(np.sort(aware, axis=0), np.sort(balanced, axis=0))


@pytest.mark.parametrize("limits", [{"max_sentences": 16}, {"max_tokens": 6000}])
def test_a_grouped_batch_has_one_speaker(traits: RowTraits, limits: dict[str, int]) -> None:
    unknown = np.where(traits.speakers == 3, -1, traits.speakers)
    traits = traits._replace(speakers=unknown)
    batches = batches_of("speaker_grouped", traits, **limits)
    assert all(len({*traits.speakers[rows]}) == 1 for rows in batches)
    if "max_sentences" in limits:
        expected = Counter({who: -(-n // 16) for who, n in Counter(unknown.tolist()).items()})
        assert Counter(int(traits.speakers[rows[0]]) for rows in batches) == expected


def test_grouped_batches_by_hand() -> None:
    traits = hand_made(speakers="aab?ba?", lengths=[9, 8, 7, 6, 5, 4, 3])
    batches = SAMPLERS["speaker_grouped"](
        np.argsort(traits.num_tokens), traits, BatchLimits(max_sentences=3), rng()
    )
    assert compositions(batches) == {frozenset({3, 6}), frozenset({0, 1, 5}), frozenset({2, 4})}


def test_rank_in_group() -> None:
    assert rank_in_group(np.array([7, 3, 7, 7, 3])).tolist() == [0, 0, 1, 2, 1]
    assert rank_in_group(np.array([], dtype=np.int64)).tolist() == []
