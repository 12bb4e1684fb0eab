"""Length buckets: every row once, little padding, new batches by seed and the same by the same."""

import numpy as np
import pytest

from emo_fairseq.data.utterance_dataset import (
    bucketed_permutation,
    length_buckets,
)

N_ROWS, BATCH = 2000, 16


@pytest.fixture
def sizes() -> list[np.ndarray]:
    """Samples and tokens of utterances whose lengths spread as spoken ones do."""
    generator = np.random.default_rng(0)
    seconds = generator.lognormal(1.3, 0.6, N_ROWS)
    words = seconds * generator.uniform(2.0, 4.0, N_ROWS)
    return [(16_000 * seconds).astype(np.int64), np.ceil(words).astype(np.int64) + 2]


def padding_share(order: np.ndarray, lengths: np.ndarray) -> float:
    batches = [lengths[order[i : i + BATCH]] for i in range(0, len(order), BATCH)]
    padded = sum(batch.max() * len(batch) for batch in batches)
    return 1.0 - lengths.sum() / padded


def order_of(sizes: list[np.ndarray], seed: int) -> np.ndarray:
    np.random.seed(seed)
    return bucketed_permutation(length_buckets(sizes))


def test_each_row_comes_exactly_once(sizes: list[np.ndarray]) -> None:
    assert sorted(order_of(sizes, 1)) == list(range(N_ROWS))


def test_longer_rows_lie_in_higher_buckets_of_limited_width(sizes: list[np.ndarray]) -> None:
    speech = sizes[0]
    buckets = length_buckets([speech])
    by_length = np.argsort(speech, kind="stable")
    assert (np.diff(buckets[by_length]) >= 0).all()
    assert set(buckets) == set(range(buckets.max() + 1))
    for bucket in range(buckets.max() + 1):
        inside = speech[buckets == bucket]
        assert inside.max() <= 1.08 * inside.min() + 1


def test_padding_is_a_fraction_of_that_in_random_order(sizes: list[np.ndarray]) -> None:
    speech, text = sizes
    bucketed, at_random = order_of(sizes, 1), np.random.default_rng(1).permutation(N_ROWS)
    assert padding_share(at_random, speech) > 0.4
    assert padding_share(bucketed, speech) < 0.1
    assert padding_share(bucketed, text) < 0.7 * padding_share(at_random, text)


def test_the_second_size_orders_rows_of_one_bucket() -> None:
    speech, text = np.full(100, 1000), np.arange(100) % 2 * 90 + 10
    order = order_of([speech, text], 1)
    assert (np.diff(text[order]) >= 0).all()


def test_a_seed_fixes_the_order(sizes: list[np.ndarray]) -> None:
    np.testing.assert_array_equal(order_of(sizes, 3), order_of(sizes, 3))


def test_another_seed_composes_other_batches(sizes: list[np.ndarray]) -> None:
    def batches(seed: int) -> set[frozenset[int]]:
        order = order_of(sizes, seed).tolist()
        return {frozenset(order[i : i + BATCH]) for i in range(0, N_ROWS, BATCH)}

    assert len(batches(1) & batches(2)) < 0.1 * N_ROWS / BATCH


def test_rows_of_length_zero_have_a_bucket() -> None:
    assert length_buckets([np.array([0, 1, 5])]).tolist() == [0, 0, 1]


@pytest.mark.parametrize("n_sizes", [1, 2])
def test_one_row_and_none(n_sizes: int) -> None:
    assert order_of([np.array([7])] * n_sizes, 1).tolist() == [0]
    empty = np.array([], dtype=np.int64)
    assert order_of([empty] * n_sizes, 1).tolist() == []
