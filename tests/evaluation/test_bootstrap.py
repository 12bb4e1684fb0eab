"""Intervals and tests over utterances and over speakers, of figures that derive from sums."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.metrics import balanced_accuracy_score

from emo_fairseq import metrics
from emo_fairseq.evaluation.bootstrap import (
    MIN_SPEAKERS,
    Speakers,
    bootstrap,
    intervals,
    leave_one_out,
    mean_over_runs,
    p_value,
    percentile_interval,
    speaker_interval,
    t_interval,
    t_test,
)

N_ROWS = 200
LABELS = ("neutral", "happy", "sad", "angry")


def labels(accuracy: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 4, (N_ROWS,), generator=torch.Generator().manual_seed(99))
    wrong = torch.rand(N_ROWS, generator=generator) > accuracy
    shift = torch.randint(1, 4, (N_ROWS,), generator=generator)
    return truth.numpy(), torch.where(wrong, (truth + shift) % 4, truth).numpy()


def rows(accuracy: float, seed: int = 0) -> np.ndarray:
    return metrics.confusion_rows(*labels(accuracy, seed), 4).reshape(N_ROWS, -1)


def derive(sums: np.ndarray) -> dict[str, float]:
    return metrics.label_metrics(sums.reshape(4, 4), LABELS)


def mean_of(
    values: np.ndarray,
) -> tuple[list[np.ndarray], Callable[[np.ndarray], dict[str, float]]]:
    """A figure that is the mean of numbers."""
    statistics = np.stack([np.ones_like(values), values], axis=1)
    return [statistics], lambda sums: {"mean": float(sums[1] / sums[0])}


# -- over utterances -------------------------------------------------------------------------------


def test_the_rows_add_up_to_the_confusion() -> None:
    truth, prediction = labels(0.7)
    counts = metrics.confusion(truth, prediction, 4)
    assert rows(0.7).sum(axis=0).reshape(4, 4).tolist() == counts.tolist()


def test_a_resample_is_the_figure_of_the_rows_that_were_drawn() -> None:
    truth, prediction = labels(0.7)
    drawn = torch.randint(N_ROWS, (N_ROWS,), generator=torch.Generator().manual_seed(5))
    expected = balanced_accuracy_score(truth[drawn], prediction[drawn])
    found = bootstrap([rows(0.7)], derive, n_resamples=1, seed=5)["uar"]
    assert found.tolist() == pytest.approx([expected])


def test_the_spread_of_an_accuracy_is_that_of_the_binomial() -> None:
    run = rows(0.7)
    accuracy = derive(run.sum(axis=0))["wa"]
    found = bootstrap([run], derive, n_resamples=4000)["wa"]
    assert float(found.mean()) == pytest.approx(accuracy, abs=0.002)
    deviation = np.sqrt(accuracy * (1 - accuracy) / N_ROWS)
    assert float(found.std()) == pytest.approx(deviation, rel=0.05)


def test_the_interval_holds_the_mean_over_runs_and_narrows_with_its_level() -> None:
    runs = [rows(0.7, seed) for seed in range(3)]
    figure = mean_over_runs(runs, derive)["uar"]
    assert figure == pytest.approx(np.mean([derive(run.sum(axis=0))["uar"] for run in runs]))
    drawn = bootstrap(runs, derive)["uar"]
    wide, narrow = percentile_interval(drawn), percentile_interval(drawn, 0.5)
    assert wide == intervals(runs, derive)["uar"]
    assert wide.low < narrow.low < figure < narrow.high < wide.high


def test_a_clear_difference_is_sure_and_none_is_not() -> None:
    worse, better = (bootstrap([rows(*of)], derive)["wa"] for of in ((0.6, 0), (0.9, 1)))
    assert percentile_interval(better - worse).low > 0
    assert p_value(better - worse) == p_value(worse - better) < 0.01
    assert p_value(worse - worse) == 1.0
    assert math.isnan(p_value(np.full(5, np.nan)))


def test_figures_of_numbers_are_resampled_axis_by_axis() -> None:
    generator = torch.Generator().manual_seed(1)
    truth, prediction = torch.rand(2, 50, 2, generator=generator, dtype=torch.float64).numpy()
    truth[0, 1] = np.nan
    run = metrics.moment_rows(truth, prediction).reshape(50, -1)
    both = ("a", "b")
    found = bootstrap([run], lambda sums: metrics.number_metrics(sums.reshape(2, -1), both), 20)
    drawn = torch.Generator().manual_seed(0)
    for number in range(20):
        chosen = torch.randint(50, (50,), generator=drawn).numpy()
        moments = metrics.moments(truth[chosen, 1], prediction[chosen, 1])
        assert found["ccc_b"][number] == pytest.approx(metrics.concordance_cc(moments))


def test_runs_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="200, 199"):
        bootstrap([rows(0.7), rows(0.7)[1:]], derive)
    with pytest.raises(ValueError, match="cannot be resampled"):
        bootstrap([], derive)


# -- over speakers ---------------------------------------------------------------------------------


def test_of_equal_speakers_it_is_students_interval_of_their_means() -> None:
    """Five speakers of two utterances each: scipy's t interval of the five means."""
    values = np.array([1, 2, 3, 3, 5, 4, 2, 4, 0, 1], dtype=np.float64)
    means = values.reshape(5, 2).mean(axis=1)
    speakers = Speakers.from_names([f"s{row // 2}" for row in range(10)])
    runs, derive_mean = mean_of(values)
    left_out = leave_one_out(runs, derive_mean, speakers)["mean"]
    found = t_interval(float(values.mean()), left_out, speakers.effective)
    expected = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
    assert found == pytest.approx(expected)
    p = t_test(float(values.mean()), left_out, speakers.effective)
    assert p == pytest.approx(stats.ttest_1samp(means, 0.0).pvalue)


def test_by_hand() -> None:
    """Speakers of 1, 1 and 2 utterances; mean 2.5, and 3, 8/3 and 1.5 without each of them."""
    runs, derive_mean = mean_of(np.array([1.0, 2.0, 4.0, 3.0]))
    speakers = Speakers.from_names(["a", "b", "c", "c"])
    left_out = leave_one_out(runs, derive_mean, speakers)["mean"]
    assert left_out.tolist() == pytest.approx([3, 8 / 3, 1.5])
    assert speakers.effective == pytest.approx(16 / 6)
    error = math.sqrt(2 / 3 * sum((x - 43 / 18) ** 2 for x in (3, 8 / 3, 1.5)))
    half = stats.t.ppf(0.975, 16 / 6 - 1) * error
    found = t_interval(2.5, left_out, speakers.effective)
    assert found == pytest.approx((2.5 - half, 2.5 + half))


def test_leaving_out_a_speaker_is_the_figure_of_the_others() -> None:
    truth, prediction = labels(0.7)
    speakers = Speakers.from_names([f"s{row % 7}" for row in range(N_ROWS)])
    found = leave_one_out([rows(0.7)], derive, speakers)["uar"]
    for number in range(7):
        others = speakers.numbers != number
        expected = balanced_accuracy_score(truth[others], prediction[others])
        assert found[number] == pytest.approx(expected)


def test_speakers_that_differ_make_it_wider_than_their_utterances_do() -> None:
    """Twenty speakers who are always right or always wrong: as if there were twenty utterances."""
    who = np.arange(N_ROWS) // 10
    run = metrics.confusion_rows(np.zeros_like(who), who % 2, 4).reshape(N_ROWS, -1)
    over = [
        intervals([run], derive, speakers)["wa"]
        for speakers in (None, Speakers.from_names([str(x) for x in who.tolist()]))
    ]
    by_row, by_speaker = (high - low for low, high in over)
    assert by_speaker / by_row == pytest.approx(np.sqrt(10), rel=0.15)


def test_an_interval_stays_within_what_the_figure_can_be() -> None:
    who = Speakers.from_names([str(row % 4) for row in range(8)])
    wrong = np.array([1, 0, 0, 0, 0, 0, 0, 0])
    run = metrics.confusion_rows(np.zeros_like(wrong), wrong, 4).reshape(8, -1)
    low, high = intervals([run], derive, who)["wa"]
    assert 0.0 < low < 0.875 < high == 1.0


@pytest.mark.parametrize(
    ("name", "scale", "inverse"),
    [("uar", special.logit, special.expit), ("ccc_valence", np.arctanh, np.tanh)],
)
def test_shares_and_correlations_have_a_scale_without_bounds(
    name: str, scale: Callable[..., Any], inverse: Callable[..., Any]
) -> None:
    left_out = np.array([0.5, 0.6, 0.55, 0.9])
    found = speaker_interval(name, 0.7, left_out, 3.5)
    ends = t_interval(float(scale(0.7)), scale(left_out), 3.5)
    assert found == pytest.approx(tuple(inverse(np.array(ends))))


def test_errors_have_their_own_scale() -> None:
    left_out = np.array([0.5, 0.6, 0.55, 0.9])
    found, plain = speaker_interval("mae", 0.7, left_out, 3.5), t_interval(0.7, left_out, 3.5)
    assert plain.low < 0.0 < plain.high
    assert found == (0.0, plain.high)


def test_what_is_undefined_without_one_speaker_has_no_interval() -> None:
    """Only speaker 0 is ever angry."""
    truth = np.array([3, 0, 1, 0, 1, 0, 1, 0])
    run = metrics.confusion_rows(truth, truth, 4).reshape(8, -1)
    found = intervals([run], derive, Speakers.from_names([str(row // 2) for row in range(8)]))
    assert all(math.isnan(end) for end in found["recall_angry"])
    assert found["wa"] == (1.0, 1.0)


def test_the_p_value_and_the_interval_agree() -> None:
    draw = np.random.default_rng(3)
    for _ in range(50):
        left_out, difference = draw.normal(size=6), float(3 * draw.normal())
        low, high = t_interval(difference, left_out, 5.2)
        assert (t_test(difference, left_out, 5.2) < 0.05) == (not low <= 0 <= high)


def test_a_difference_without_any_error_is_no_test() -> None:
    assert t_test(0.0, np.zeros(4), 4.0) == 1.0
    assert math.isnan(t_test(0.1, np.full(4, 0.1), 4.0))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "b"] * 50, f"2 speakers < {MIN_SPEAKERS}: no interval over speakers"),
        (["a"] * 3, f"1 speaker < {MIN_SPEAKERS}: no interval over speakers"),
        ([], f"0 speakers < {MIN_SPEAKERS}"),
        (["a", None, None], "2 utterances have no known speaker"),
        (["a"] * 90 + ["b", "c", "d"], "4 speakers with such unequal numbers of utterances count"),
    ],
)
def test_too_few_speakers_are_refused(names: list[str | None], reason: str) -> None:
    speakers = Speakers.from_names(names)
    assert reason in speakers.refusal
    with pytest.raises(ValueError, match="no interval over speakers"):
        intervals([np.ones((len(names), 16))], derive, speakers)


def test_speakers_of_some_rows_are_counted_anew() -> None:
    speakers = Speakers.from_names(["a", "b", "c", "d", "a"])
    assert not speakers.refusal
    assert speakers.select([1, 3]).numbers.tolist() == [0, 1]
    assert "2 speakers" in speakers.select([1, 3]).refusal
    assert "1 utterances" in Speakers.from_names(["a", None]).select([0]).refusal
