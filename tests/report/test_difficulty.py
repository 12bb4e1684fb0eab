"""Quantile bins and what is measured in them, by hand."""

import numpy as np
import pytest

from emo_fairseq.report.plots.difficulty import (
    by_difficulty,
    quantile_bins,
    rank_correlation,
)


def test_bins_hold_equally_many() -> None:
    difficulty = np.random.default_rng(0).permutation(np.arange(1.0, 41.0))
    bins = quantile_bins(difficulty)
    assert np.bincount(bins).tolist() == [2] * 20
    assert sorted(difficulty[bins == 0]) == [1.0, 2.0]
    assert sorted(difficulty[bins == 19]) == [39.0, 40.0]


def test_equal_difficulties_share_a_bin() -> None:
    bins = quantile_bins(np.array([0.0] * 30 + [1.0, 2.0]), 4)
    assert len(set(bins[:30].tolist())) == 1
    assert np.unique(bins).tolist() == list(range(bins.max() + 1))


def test_accuracy_by_hand_with_wilsons_interval() -> None:
    difficulty = np.array([0.1] * 10 + [0.5] * 10 + [np.nan])
    right = np.array([1.0] * 9 + [0.0] + [1.0] * 5 + [0.0] * 5 + [1.0])
    easy, hard = by_difficulty(difficulty, right, is_share=True)
    assert (easy.n, easy.mean, hard.mean) == (10, 0.9, 0.5)
    assert (hard.low, hard.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)  # Wilson, 5 of 10


def test_the_mean_error_with_students_interval() -> None:
    (only,) = by_difficulty(np.full(3, 0.2), np.array([1.0, 2.0, 3.0]), is_share=False)
    assert only.mean == 2.0
    assert only.high - only.mean == pytest.approx(4.3027 / np.sqrt(3), abs=1e-4)


def test_nothing_known_gives_no_bins() -> None:
    assert by_difficulty(np.array([np.nan]), np.array([1.0]), is_share=True) == []


def test_rank_correlation_of_a_constant_is_undefined() -> None:
    difficulty = np.array([0.1, 0.2, 0.3])
    assert rank_correlation(difficulty, [1.0, 0.5, 0.1]) == pytest.approx(-1.0)
    assert np.isnan(rank_correlation(difficulty, [1.0, 1.0, 1.0]))
