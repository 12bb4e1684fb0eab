"""The CMU set and the IEMOCAP binary set against slow per-row references."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor

from emo_fairseq.metrics import (
    accuracy,
    binary_confusions,
    binary_metrics,
    cmu_metrics,
    cmu_rows,
    cmu_statistics,
    confusion,
    log_odds,
    unweighted_average_recall,
)

NAN = math.nan
LABELS = ("neutral", "sad", "angry", "happy")
CMU_NAMES = {
    "acc2_has0",
    "f1_has0",
    "acc2_non0",
    "f1_non0",
    "acc7",
    "acc7_non0",
    "acc5",
    "acc5_non0",
    "mae",
    "corr",
}

quick = settings(max_examples=50, deadline=None, derandomize=True)
# thirds as in the corpora's averaged annotations, halves for the rounding, and beyond the limits
score = st.sampled_from([-3.4, -3.0, -2.5, -1.5, -1 / 3, 0.0, 0.5, 2 / 3, 1.5, 2.5, 3.0, 7.0])


def nearest_even(value: float, limit: int) -> int:
    return round(max(-limit, min(limit, value)))  # Python rounds half to even too


def reference_cmu(rows: list[tuple[float, float]]) -> dict[str, float]:
    """Every value but `corr`, row by row."""
    non0 = [(truth, prediction) for truth, prediction in rows if truth != 0]
    values = {"mae": sum(abs(t - p) for t, p in rows) / len(rows)}
    signs = {
        "has0": [(t >= 0, p >= 0) for t, p in rows],
        "non0": [(t > 0, p > 0) for t, p in non0],
    }
    for form, pairs in signs.items():
        truth, prediction = zip(*pairs, strict=True) if pairs else ((), ())
        values[f"acc2_{form}"] = accuracy_score(truth, prediction) if pairs else NAN
        values[f"f1_{form}"] = f1_score(truth, prediction, average="weighted") if pairs else NAN
    for name, limit in (("acc7", 3), ("acc5", 2)):
        for suffix, kept in (("", rows), ("_non0", non0)):
            right = [nearest_even(t, limit) == nearest_even(p, limit) for t, p in kept]
            values[name + suffix] = sum(right) / len(kept) if kept else NAN
    return values


def cmu(rows: list[tuple[float, float]]) -> dict[str, float]:
    truth, prediction = torch.tensor(rows, dtype=torch.float64).T
    return cmu_metrics(cmu_statistics(truth, prediction))


@quick
@given(st.lists(st.tuples(score, score), min_size=1, max_size=30))
def test_cmu_metrics_are_those_of_the_rows(rows: list[tuple[float, float]]) -> None:
    values = cmu(rows)
    assert values.keys() == CMU_NAMES
    values.pop("corr")
    assert values == pytest.approx(reference_cmu(rows), abs=1e-9, nan_ok=True)


def test_cmu_metrics_of_continuous_predictions() -> None:
    generator = np.random.default_rng(0)
    truth = np.round(generator.normal(0.0, 1.5, 500) * 3) / 3
    prediction = truth + generator.normal(0.0, 0.7, 500)
    values = cmu(list(zip(truth, prediction, strict=True)))
    expected = reference_cmu(list(zip(truth, prediction, strict=True)))
    expected["corr"] = stats.pearsonr(truth, prediction)[0]
    assert values == pytest.approx(expected, abs=1e-9)
    assert {type(value) for value in values.values()} == {float}


def test_cmu_metrics_by_hand() -> None:
    rows = [
        # truth, prediction: sign with 0, without; classes of 7; of 5
        (0.0, 0.4),  # right, dropped; 0 0; 0 0
        (0.0, -0.4),  # wrong, dropped; 0 0; 0 0
        (1.0, 0.0),  # right, wrong (0 is not positive); 1 0; 1 0
        (2.4, 3.9),  # right, right; 2 3; 2 2
        (-0.5, -1.5),  # right, right; 0 -2 (half to even); 0 -2
        (-2.5, -1.9),  # right, right; -2 -2; -2 -2
    ]
    values = cmu(rows)
    assert values["acc2_has0"] == 5 / 6
    assert values["acc2_non0"] == 3 / 4
    assert values["acc7"] == 3 / 6
    assert values["acc7_non0"] == 1 / 4
    assert values["acc5"] == 4 / 6
    assert values["acc5_non0"] == 2 / 4
    assert values["mae"] == pytest.approx((0.4 + 0.4 + 1.0 + 1.5 + 1.0 + 0.6) / 6)
    # has0: 2 negative and 4 not; F1 of negative 2 * 2 / (2 + 3), of the others 2 * 3 / (4 + 3)
    assert values["f1_has0"] == pytest.approx((2 * 4 / 5 + 4 * 6 / 7) / 6)
    # non0: 2 negative and 2 positive; F1 of negative 2 * 2 / (2 + 3), of positive 2 * 1 / (2 + 1)
    assert values["f1_non0"] == pytest.approx((2 * 4 / 5 + 2 * 2 / 3) / 4)


def test_minus_zero_is_zero() -> None:
    assert cmu([(-0.0, 0.0), (1.0, 1.0)]) == cmu([(0.0, -0.0), (1.0, 1.0)])
    assert cmu([(-0.0, 0.0)])["acc2_has0"] == 1.0


@quick
@given(st.lists(st.tuples(score, score), min_size=1, max_size=30), st.integers(1, 30))
def test_cmu_statistics_in_chunks_are_the_whole(rows: list[tuple[float, float]], size: int) -> None:
    truth, prediction = torch.tensor(rows, dtype=torch.float64).T
    whole = cmu_statistics(truth, prediction)
    chunks = [
        cmu_statistics(*chunk)
        for chunk in zip(truth.split(size), prediction.split(size), strict=True)
    ]
    for name, statistic in whole.items():
        assert statistic.dtype == torch.float64
        torch.testing.assert_close(torch.stack([c[name] for c in chunks]).sum(dim=0), statistic)


@quick
@given(st.lists(st.tuples(st.one_of(score, st.just(NAN)), score), min_size=1, max_size=30))
def test_rows_of_utterances_add_up_to_the_cmu_statistics(rows: list[tuple[float, float]]) -> None:
    truth, prediction = torch.tensor(rows, dtype=torch.float64).T
    whole = cmu_statistics(truth, prediction)
    for name, of_each in cmu_rows(truth, prediction).items():
        assert len(of_each) == len(rows)
        torch.testing.assert_close(of_each.sum(dim=0), whole[name])


def test_cmu_rows_without_truth_are_left_out() -> None:
    rows = [(1.0, 0.5), (-2.0, 0.1), (0.0, -0.2)]
    with_gaps = [rows[0], (NAN, 2.0), rows[1], (NAN, NAN), rows[2]]
    assert cmu(with_gaps) == pytest.approx(cmu(rows), abs=1e-12)  # sums of another order


def test_cmu_metrics_are_nan_without_rows_or_with_a_nan_prediction() -> None:
    empty = cmu_metrics(cmu_statistics(torch.zeros(0), torch.zeros(0)))
    invalid = cmu([(1.0, 1.0), (-1.0, NAN), (2.0, 2.0)])
    assert all(math.isnan(value) for value in (*empty.values(), *invalid.values()))


def test_cmu_without_any_row_that_is_not_0() -> None:
    values = cmu([(0.0, 0.1), (0.0, -0.1)])
    assert values["acc2_has0"] == 0.5
    assert values["acc7"] == 1.0
    assert all(math.isnan(values[name]) for name in CMU_NAMES if name.endswith("non0"))
    assert math.isnan(values["corr"])


def test_cmu_refuses_columns() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        cmu_statistics(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="expected truth"):
        cmu_statistics(torch.zeros(4, 1), torch.zeros(4, 1))


def draw_binary(n: int = 83) -> tuple[Tensor, Tensor]:
    """(83,) class ids and (83, 8) logits that know something of them."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, len(LABELS), (n,), generator=generator)
    logits = torch.randn(n, 2 * len(LABELS), generator=generator)
    logits[torch.arange(n), 2 * truth + 1] += 1.0
    return truth, logits


def test_binary_metrics_are_those_of_scikit_learn() -> None:
    truth, logits = draw_binary()
    values = binary_metrics(binary_confusions(truth, logits), LABELS)
    expected = {}
    for k, label in enumerate(LABELS):
        yes = [int(true == k) for true in truth.tolist()]
        answers = [int(row[2 * k + 1] > row[2 * k]) for row in logits.tolist()]
        for suffix, given_answers in (("", answers), ("_always_no", [0] * len(yes))):
            expected[f"binary_accuracy_{label}{suffix}"] = accuracy_score(yes, given_answers)
            expected[f"binary_f1_{label}{suffix}"] = f1_score(
                yes, given_answers, average="weighted", zero_division=0
            )
    assert values == pytest.approx(expected, abs=1e-9)
    assert {type(value) for value in values.values()} == {float}


def test_binary_metrics_by_hand() -> None:
    truth = torch.tensor([0, 0, 1])
    logits = torch.tensor([[0.0, 2.0, 1.0, 0.0], [3.0, 1.0, 0.0, 5.0], [1.0, 1.0, 2.0, 2.5]])
    counts = binary_confusions(truth, logits)
    assert counts[0].tolist() == [[1.0, 0.0], [1.0, 1.0]]  # the tie of the last row is a no
    assert counts[1].tolist() == [[1.0, 1.0], [0.0, 1.0]]
    values = binary_metrics(counts, ["sad", "happy"])
    assert values["binary_accuracy_sad"] == values["binary_accuracy_happy"] == 2 / 3
    assert values["binary_accuracy_sad_always_no"] == pytest.approx(1 / 3)
    assert values["binary_accuracy_happy_always_no"] == pytest.approx(2 / 3)
    assert values["binary_f1_happy_always_no"] == pytest.approx(2 / 3 * 4 / 5)


def test_the_one_class_of_a_binary_head_has_the_highest_yes_probability() -> None:
    truth, logits = draw_binary()
    prediction = log_odds(logits).argmax(dim=1)
    probability = logits.reshape(-1, len(LABELS), 2).softmax(dim=2)[:, :, 1]
    assert prediction.equal(probability.argmax(dim=1))
    counts = confusion(truth, prediction, len(LABELS))
    assert accuracy(counts) > 0.25
    assert unweighted_average_recall(counts) > 0.25


@pytest.mark.parametrize("size", [1, 7, 64])
def test_binary_confusions_in_chunks_are_the_whole(size: int) -> None:
    truth, logits = draw_binary()
    chunks = zip(truth.split(size), logits.split(size), strict=True)
    total = torch.stack([binary_confusions(*chunk) for chunk in chunks]).sum(dim=0)
    assert total.equal(binary_confusions(truth, logits))


def test_binary_metrics_are_nan_without_rows_or_with_a_nan_logit() -> None:
    truth, logits = draw_binary()
    logits[3, 5] = NAN
    for counts in (binary_confusions(truth[:0], logits[:0]), binary_confusions(truth, logits)):
        assert counts.shape == (len(LABELS), 2, 2)
        assert all(math.isnan(value) for value in binary_metrics(counts, LABELS).values())


def test_binary_set_refuses_what_does_not_fit() -> None:
    truth, logits = draw_binary()
    with pytest.raises(ValueError, match=r"\(N, 2K\)"):
        binary_confusions(truth, logits[:, :5])
    with pytest.raises(ValueError, match="83 rows"):
        binary_confusions(truth[:5], logits)
    with pytest.raises(ValueError, match="true class 4"):
        binary_confusions(torch.full_like(truth, 4), logits)
    with pytest.raises(ValueError, match="counts"):
        binary_metrics(binary_confusions(truth, logits), LABELS[:3])
