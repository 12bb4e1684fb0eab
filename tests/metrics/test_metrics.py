"""Metrics against scikit-learn, scipy and audmetric, chunked = whole, and what is undefined."""

import math
import warnings
from collections.abc import Sequence

import audmetric
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics
from torch import Tensor

from emo_fairseq.metrics import (
    CONFUSION_METRICS,
    MOMENT_METRICS,
    accuracy,
    concordance_cc,
    confusion,
    constant_confusion,
    f1_per_class,
    label_metrics,
    macro_f1,
    macro_precision,
    mean_absolute_error,
    moments,
    pearson_cc,
    precision_per_class,
    recall_per_class,
    root_mean_squared_error,
    sd_ratio,
    unweighted_average_recall,
    weighted_f1,
    weighted_precision,
)

N_CLASSES = 5
NAN = math.nan

quick = settings(max_examples=50, deadline=None, derandomize=True)
labeled = st.lists(
    st.tuples(st.integers(0, N_CLASSES - 1), st.integers(0, N_CLASSES - 1)), min_size=1, max_size=40
)
# name: classes that occur in the truth, in the prediction
CLASS_SETS = {
    "all": (range(5), range(5)),
    "one never true": ((0, 1, 2, 4), range(5)),
    "one never predicted": (range(5), (0, 1, 2, 4)),
    "one in neither": ((0, 1, 2, 4), (0, 1, 2, 4)),
    "disjoint": ((0, 1), (2, 3)),
    "one class only": ((2,), (2,)),
}
class_sets = pytest.mark.parametrize(
    ("true_classes", "predicted_classes"), CLASS_SETS.values(), ids=CLASS_SETS
)


def draw_classes(true: Sequence[int], predicted: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(97,) truth and prediction in which every class named does occur."""
    generator = np.random.default_rng(0)
    drawn = []
    for classes in (true, predicted):
        ids = np.concatenate([list(classes), generator.choice(list(classes), 97 - len(classes))])
        drawn.append(torch.from_numpy(generator.permutation(ids)))
    return drawn[0], drawn[1]


def draw_values(n: int = 101, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.uniform(-3.0, 3.0, n)
    return truth, 0.6 * truth + generator.normal(0.3, 0.8, n)


@class_sets
def test_class_metrics_are_those_of_scikit_learn(
    true_classes: Sequence[int], predicted_classes: Sequence[int]
) -> None:
    truth, prediction = draw_classes(true_classes, predicted_classes)
    counts = confusion(truth, prediction, N_CLASSES)
    expected = sklearn_metrics.confusion_matrix(truth, prediction, labels=range(N_CLASSES))
    assert counts.dtype == torch.float64
    assert (counts.numpy() == expected).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "y_pred contains classes not in y_true"
        uar = sklearn_metrics.balanced_accuracy_score(truth, prediction)
    macro = sklearn_metrics.f1_score(truth, prediction, average="macro", zero_division=0)
    weighted = sklearn_metrics.f1_score(truth, prediction, average="weighted", zero_division=0)
    wa = sklearn_metrics.accuracy_score(truth, prediction)
    assert accuracy(counts) == pytest.approx(wa, abs=1e-12)
    assert unweighted_average_recall(counts) == pytest.approx(uar, abs=1e-12)
    assert macro_f1(counts) == pytest.approx(macro, abs=1e-12)
    assert weighted_f1(counts) == pytest.approx(weighted, abs=1e-12)
    for average, metric in (("macro", macro_precision), ("weighted", weighted_precision)):
        precision = sklearn_metrics.precision_score(
            truth, prediction, average=average, zero_division=0
        )
        assert metric(counts) == pytest.approx(precision, abs=1e-12)


@class_sets
def test_metrics_per_class_are_those_of_scikit_learn(
    true_classes: Sequence[int], predicted_classes: Sequence[int]
) -> None:
    """Where a class is absent scikit-learn says 0, and we NaN."""
    truth, prediction = draw_classes(true_classes, predicted_classes)
    counts = confusion(truth, prediction, N_CLASSES)
    scored = sklearn_metrics.precision_recall_fscore_support(
        truth, prediction, labels=range(N_CLASSES), zero_division=0
    )
    present = [k in true_classes or k in predicted_classes for k in range(N_CLASSES)]
    in_truth = [k in true_classes for k in range(N_CLASSES)]
    for metric, expected, defined in (
        (precision_per_class, scored[0], present),
        (recall_per_class, scored[1], in_truth),
        (f1_per_class, scored[2], present),
    ):
        values = metric(counts)
        assert values == pytest.approx(np.where(defined, expected, NAN), abs=1e-12, nan_ok=True)


def test_unweighted_average_recall_and_audmetric() -> None:
    truth, prediction = draw_classes(*CLASS_SETS["one never predicted"])
    counts = confusion(truth, prediction, N_CLASSES)
    expected = audmetric.unweighted_average_recall(truth.tolist(), prediction.tolist())
    assert unweighted_average_recall(counts) == pytest.approx(expected, abs=1e-12)
    # a class that is only predicted: audmetric averages in a recall of 0, the field does not
    counts = confusion(torch.tensor([0, 0]), torch.tensor([0, 1]), 2)
    assert audmetric.unweighted_average_recall([0, 0], [0, 1]) == 0.25
    assert unweighted_average_recall(counts) == 0.5


def test_class_metrics_by_hand() -> None:
    #                        predicted  0  1  2
    counts = torch.tensor([[8, 2, 0], [1, 3, 0], [4, 2, 0]])  # 10, 4 and 6 true
    assert accuracy(counts) == 11 / 20
    assert recall_per_class(counts) == [0.8, 0.75, 0.0]
    assert precision_per_class(counts) == [8 / 13, 3 / 7, 0.0]
    assert f1_per_class(counts) == [16 / 23, 6 / 11, 0.0]
    assert unweighted_average_recall(counts) == pytest.approx(1.55 / 3)
    assert macro_f1(counts) == pytest.approx((16 / 23 + 6 / 11) / 3)
    assert weighted_f1(counts) == pytest.approx((10 * 16 / 23 + 4 * 6 / 11) / 20)
    majority = label_metrics(constant_confusion(counts, 0), "abc")
    assert majority["wa"] == 0.5
    assert majority["uar"] == pytest.approx(1 / 3)
    assert majority["weighted_f1"] == pytest.approx(0.5 * (2 / 3))  # F1 of class 0: 20 / 30


def test_constant_confusion_is_that_of_a_constant_prediction() -> None:
    truth, prediction = draw_classes(*CLASS_SETS["all"])
    counts = confusion(truth, prediction, N_CLASSES)
    for k in range(N_CLASSES):
        expected = confusion(truth, torch.full_like(truth, k), N_CLASSES)
        assert constant_confusion(counts, k).tolist() == expected.tolist()


@quick
@given(labeled, st.integers(1, 40))
def test_confusion_in_chunks_is_the_whole(pairs: list[tuple[int, int]], size: int) -> None:
    truth, prediction = torch.tensor(pairs).T
    whole = confusion(truth, prediction, N_CLASSES)
    chunks = zip(truth.split(size), prediction.split(size), strict=True)
    counts = [confusion(*chunk, N_CLASSES) for chunk in chunks]
    assert torch.stack(counts).sum(dim=0).equal(whole)


def test_class_metrics_without_rows_are_nan() -> None:
    empty = torch.zeros(0, dtype=torch.long)
    counts = confusion(empty, empty, N_CLASSES)
    assert counts.equal(torch.zeros(N_CLASSES, N_CLASSES, dtype=torch.float64))
    values = [metric(counts) for metric in CONFUSION_METRICS.values()]
    values += recall_per_class(counts)
    assert all(math.isnan(value) for value in values)


def test_invalid_counts_give_nan() -> None:
    counts = torch.full((3, 3), NAN, dtype=torch.float64)
    assert all(math.isnan(metric(counts)) for metric in CONFUSION_METRICS.values())


@pytest.mark.parametrize(
    ("truth", "prediction", "message"),
    [
        ([0, 5], [0, 1], "true class 5"),
        ([0, -1], [0, 1], "true class -1"),
        ([0, 1], [7, 1], "predicted class 7"),
        ([0, 1], [0, 1, 2], "differ in shape"),
        ([[0], [1]], [[0], [1]], "expected truth"),
    ],
)
def test_confusion_refuses(truth: list[int], prediction: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(torch.tensor(truth), torch.tensor(prediction), N_CLASSES)


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_value_metrics_are_those_of_audmetric_scipy_and_scikit_learn(n: int, scale: float) -> None:
    truth, prediction = (scale * values for values in draw_values(n))
    sums = moments(torch.from_numpy(truth), torch.from_numpy(prediction))
    assert concordance_cc(sums) == pytest.approx(
        audmetric.concordance_cc(truth, prediction), abs=1e-9
    )
    assert pearson_cc(sums) == pytest.approx(stats.pearsonr(truth, prediction)[0], abs=1e-9)
    assert mean_absolute_error(sums) == pytest.approx(
        sklearn_metrics.mean_absolute_error(truth, prediction), abs=1e-9
    )
    assert root_mean_squared_error(sums) == pytest.approx(
        sklearn_metrics.root_mean_squared_error(truth, prediction), abs=1e-9
    )
    assert sd_ratio(sums) == pytest.approx(prediction.std() / truth.std(), abs=1e-9)


def test_the_ratio_of_spreads_is_undefined_for_constant_truth_alone() -> None:
    constant, varied = torch.full((4,), 0.1), torch.tensor([0.0, 0.1, 0.2, 0.3])
    assert sd_ratio(moments(varied, constant)) == 0.0
    assert math.isnan(sd_ratio(moments(constant, varied)))


def test_value_metrics_hold_in_a_corner_of_the_unit_interval() -> None:
    """Variances of 1e-8 about a mean of 0.9: raw sums still leave 9 digits."""
    truth, prediction = (0.9 + 1e-4 * values for values in draw_values(5000))
    sums = moments(torch.from_numpy(truth), torch.from_numpy(prediction))
    expected = audmetric.concordance_cc(truth, prediction)
    assert concordance_cc(sums) == pytest.approx(expected, abs=1e-6)


def test_concordance_divides_by_n_and_not_by_n_minus_1() -> None:
    """The divisors differ most on few rows: here .577 against .667."""
    truth, prediction = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.8, 3.1, 4.4])
    assert concordance_cc(moments(truth, prediction)) == pytest.approx(0.577, abs=5e-4)
    covariance, bias = torch.cov(torch.stack([truth, prediction])), (truth - prediction).mean()
    unbiased = 2 * covariance[0, 1] / (covariance.trace() + bias**2)
    assert unbiased.item() == pytest.approx(0.667, abs=5e-4)


def test_concordance_by_hand() -> None:
    # means 1 and 2/3, variances 2/3 and 2/9, covariance 1/3: (2/3) / (2/3 + 2/9 + 1/9)
    sums = moments(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 1.0]))
    assert concordance_cc(sums) == pytest.approx(2 / 3, abs=1e-12)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_pearson_of_a_line_never_leaves_its_interval(sign: float) -> None:
    for seed in range(100):
        truth = torch.from_numpy(draw_values(7, seed)[0])
        correlation = pearson_cc(moments(truth, sign * 0.7 * truth + 0.1))
        assert abs(correlation) <= 1.0
        assert correlation == pytest.approx(sign)


def test_moments_of_axes_are_those_of_each_axis() -> None:
    columns = [draw_values(50, seed) for seed in range(3)]
    truth = torch.tensor(np.stack([column[0] for column in columns], axis=1))  # (50, 3)
    prediction = torch.tensor(np.stack([column[1] for column in columns], axis=1))
    truth[4, 0] = truth[7, 2] = truth[8, 2] = NAN
    sums = moments(truth, prediction)
    assert sums.shape == (3, 8)
    assert sums.dtype == torch.float64
    assert sums[:, 0].tolist() == [49.0, 50.0, 48.0]
    for axis in range(3):
        measured = ~truth[:, axis].isnan()
        alone = moments(truth[measured, axis], prediction[measured, axis])
        torch.testing.assert_close(sums[axis], alone, rtol=1e-13, atol=1e-13)


scores = st.floats(-3.0, 3.0, width=32)


@quick
@given(
    st.lists(st.tuples(st.one_of(scores, st.just(NAN)), scores), min_size=1, max_size=50),
    st.integers(1, 50),
)
def test_moments_in_chunks_are_the_whole(rows: list[tuple[float, float]], size: int) -> None:
    truth, prediction = torch.tensor(rows, dtype=torch.float32).T
    whole = moments(truth, prediction)
    chunks = zip(truth.split(size), prediction.split(size), strict=True)
    torch.testing.assert_close(
        torch.stack([moments(*chunk) for chunk in chunks]).sum(dim=0), whole, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_metrics_in_chunks_are_the_whole(dtype: torch.dtype) -> None:
    truth, prediction = (torch.from_numpy(values).to(dtype) for values in draw_values(1000))
    values = []
    for size in (1, 7, 64, 1000):
        chunks = zip(truth.split(size), prediction.split(size), strict=True)
        sums = torch.stack([moments(*chunk) for chunk in chunks]).sum(dim=0)
        values.append([metric(sums) for metric in MOMENT_METRICS.values()])
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 1000, 20_000])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, -2.7])
def test_correlation_with_a_constant_is_nan(n: int, constant: float) -> None:
    varying = torch.linspace(-1.0, 1.0, n, dtype=torch.float64)
    flat = torch.full_like(varying, constant)
    for truth, prediction in ((varying, flat), (flat, varying), (flat, flat)):
        # one by one, as at batch size 1: the least exact way to add
        sums = moments(truth.unsqueeze(0), prediction.unsqueeze(0)).cumsum(dim=0)[-1]
        assert math.isnan(concordance_cc(sums))
        assert math.isnan(pearson_cc(sums))
        assert mean_absolute_error(sums) == pytest.approx((truth - prediction).abs().mean().item())


def test_value_metrics_without_rows_are_nan() -> None:
    for truth in (torch.zeros(0), torch.full((4,), NAN)):
        sums = moments(truth, torch.zeros_like(truth))
        assert sums.tolist() == [0.0] * 8
        assert all(math.isnan(metric(sums)) for metric in MOMENT_METRICS.values())


def test_a_nan_prediction_is_not_hidden() -> None:
    truth = torch.tensor([0.0, 1.0, 2.0])
    sums = moments(truth, torch.tensor([0.0, NAN, 1.0]))
    assert all(math.isnan(metric(sums)) for metric in MOMENT_METRICS.values())
    # but it does not matter where there is no truth to compare with
    sums = moments(torch.tensor([0.0, NAN, 2.0]), torch.tensor([0.0, NAN, 1.0]))
    assert mean_absolute_error(sums) == 0.5


def test_moments_do_not_broadcast() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        moments(torch.zeros(4), torch.zeros(4, 1))


def test_moments_keep_no_graph() -> None:
    prediction = torch.rand(4, requires_grad=True)
    assert not moments(torch.rand(4), prediction).requires_grad


def test_metrics_are_python_floats() -> None:
    """Checkpoints hold them, and are loaded weights-only: no numpy or torch scalars."""
    counts = confusion(*draw_classes(*CLASS_SETS["all"]), N_CLASSES)
    sums = moments(*(torch.from_numpy(values) for values in draw_values()))
    values = [metric(counts) for metric in CONFUSION_METRICS.values()]
    values += [metric(sums) for metric in MOMENT_METRICS.values()]
    values += recall_per_class(counts)
    values += [*precision_per_class(counts), *f1_per_class(counts)]
    assert {type(value) for value in values} == {float}
