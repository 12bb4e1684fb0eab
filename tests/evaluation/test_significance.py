"""Corrections and tests, by hand."""

import math

import pytest
from scipy import stats

from emo_fairseq.evaluation.significance import (
    holm,
    mcnemar,
    wilcoxon,
)


def test_holm_by_hand():
    """.005 x 4, .01 x 3, .03 x 2, and .04 x 1 = .04, which is raised to the one before."""
    assert holm([0.03, 0.01, 0.04, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])


def test_holm_is_no_probability_above_one():
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_holm_does_not_count_what_was_not_tested():
    corrected = holm([math.nan, 0.01, 0.02])
    assert math.isnan(corrected[0])
    assert corrected[1:] == pytest.approx([0.02, 0.02])


def test_one_test_is_not_corrected():
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_mcnemar_by_hand():
    """1 against 5 of 6 that only one has right: 2 (C(6,0) + C(6,1)) / 2^6."""
    ours = [True] * 4 + [True] + [False] * 5
    theirs = [True] * 4 + [False] + [True] * 5
    assert mcnemar(ours, theirs).p_value == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar(ours, ours).p_value == 1.0


def test_wilcoxon_over_runs():
    """Six pairs, all of one sign: 2 / 2^6."""
    ours = [0.50, 0.52, 0.54, 0.56, 0.58, 0.60]
    theirs = [a + 0.01 * n for n, a in enumerate(ours, start=1)]
    found = wilcoxon(ours, theirs)
    assert found is not None
    assert found.p_value == pytest.approx(2 / 64)
    assert found.p_value == pytest.approx(stats.wilcoxon(ours, theirs).pvalue)


def test_wilcoxon_wants_six_pairs_that_are_measured():
    assert wilcoxon([0.1] * 5, [0.2] * 5) is None
    assert wilcoxon([0.1] * 6, [0.2] * 5 + [math.nan]) is None
    same = wilcoxon([0.1] * 6, [0.1] * 6)
    assert same is not None
    assert same.p_value == 1.0
