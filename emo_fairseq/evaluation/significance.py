"""Whether two systems differ by more than chance: corrections and tests beside the bootstrap."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

_FEWEST_PAIRS = 6  # with fewer no result of Wilcoxon's test lies below .05


class OtherTest(NamedTuple):
    """A test by its name, and its two-sided p-value."""

    name: str
    p_value: float


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for being several (Holm 1979); NaN stays NaN and is not counted.

    The i-th smallest of m, from 0, is multiplied by m - i, and is no smaller than the one before.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    known = [n for n, p in enumerate(p_values) if not math.isnan(p)]
    known.sort(key=lambda n: p_values[n])
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, n in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p_values[n]))
        corrected[n] = largest
    return corrected


def wilcoxon(metrics: Sequence[float], others: Sequence[float]) -> OtherTest | None:
    """Return Wilcoxon's signed-rank test of paired runs (Wilcoxon 1945); None for too few pairs.

    It compares the difference with that between seeds and folds, where the bootstrap compares it
    with that between utterances. Folds share training data, so its p-value is too small rather than
    large.
    """
    pairs = [(a, b) for a, b in zip(metrics, others, strict=True) if not math.isnan(a - b)]
    if len(pairs) < _FEWEST_PAIRS:
        return None
    ours, theirs = zip(*pairs, strict=True)
    p_value = 1.0 if ours == theirs else float(stats.wilcoxon(ours, theirs).pvalue)
    return OtherTest("Wilcoxon over runs", p_value)


def mcnemar(correct: Sequence[bool], others: Sequence[bool]) -> OtherTest:
    """Return McNemar's exact test of two models on the same utterances (McNemar 1947).

    Of the utterances that only one of them has right, half would be each one's by chance.
    """
    ours = sum(a and not b for a, b in zip(correct, others, strict=True))
    theirs = sum(b and not a for a, b in zip(correct, others, strict=True))
    p_value = float(stats.binomtest(ours, ours + theirs).pvalue) if ours + theirs else 1.0
    return OtherTest("McNemar", p_value)
