"""Bootstrap intervals and paired comparisons of figures that derive from sums."""

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from emo_fairseq import metrics
from emo_fairseq.metrics.resampling import bootstrap, compare, confusion_rows, interval

N_ROWS = 200


def labels(accuracy: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 4, (N_ROWS,), generator=torch.Generator().manual_seed(99))
    wrong = torch.rand(N_ROWS, generator=generator) > accuracy
    shift = torch.randint(1, 4, (N_ROWS,), generator=generator)
    return truth, torch.where(wrong, (truth + shift) % 4, truth)


def rows(accuracy: float, seed: int = 0) -> torch.Tensor:
    return confusion_rows(*labels(accuracy, seed), 4)


def test_the_rows_add_up_to_the_confusion() -> None:
    truth, prediction = labels(0.7)
    assert torch.equal(rows(0.7).sum(dim=0), metrics.confusion(truth, prediction, 4))


def test_a_resample_is_the_figure_of_the_rows_that_were_drawn() -> None:
    truth, prediction = labels(0.7)
    drawn = torch.randint(N_ROWS, (N_ROWS,), generator=torch.Generator().manual_seed(5))
    expected = balanced_accuracy_score(truth[drawn], prediction[drawn])
    (found,) = bootstrap(
        [rows(0.7)], metrics.unweighted_average_recall, n_resamples=1, seed=5
    ).tolist()
    assert found == pytest.approx(expected)


def test_the_spread_of_an_accuracy_is_that_of_the_binomial() -> None:
    run = rows(0.7)
    accuracy = metrics.accuracy(run.sum(dim=0))
    found = bootstrap([run], metrics.accuracy, n_resamples=4000)
    assert float(found.mean()) == pytest.approx(accuracy, abs=0.002)
    deviation = np.sqrt(accuracy * (1 - accuracy) / N_ROWS)
    assert float(found.std()) == pytest.approx(deviation, rel=0.05)


def test_units_are_drawn_whole() -> None:
    """Twenty speakers who are always right or always wrong: as if there were twenty utterances."""
    units = torch.arange(N_ROWS) // 10
    truth = torch.zeros(N_ROWS, dtype=torch.long)
    run = confusion_rows(truth, units % 2, 2)
    by_row = bootstrap([run], metrics.accuracy).std()
    by_unit = bootstrap([run], metrics.accuracy, units).std()
    assert float(by_unit / by_row) == pytest.approx(np.sqrt(10), rel=0.1)


def test_the_interval_holds_the_figure_and_narrows_with_its_level() -> None:
    runs = [rows(0.7, seed) for seed in range(3)]
    wide = interval(runs, metrics.unweighted_average_recall)
    narrow = interval(runs, metrics.unweighted_average_recall, level=0.5)
    expected = np.mean([metrics.unweighted_average_recall(run.sum(dim=0)) for run in runs])
    assert wide.figure == pytest.approx(expected)
    assert wide.low < narrow.low < wide.figure < narrow.high < wide.high


def test_a_clear_difference_is_sure_and_none_is_not() -> None:
    better = compare([rows(0.6)], [rows(0.9, seed=1)], metrics.accuracy)
    assert 0 < better.low < better.difference < better.high
    assert better.p_value < 0.01
    same = compare([rows(0.7)], [rows(0.7)], metrics.accuracy)
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    worse = compare([rows(0.9, seed=1)], [rows(0.6)], metrics.accuracy)
    assert (worse.difference, worse.p_value) == (-better.difference, better.p_value)


def test_runs_of_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="200, 199"):
        bootstrap([rows(0.7), rows(0.7)[1:]], metrics.accuracy)
    with pytest.raises(ValueError, match="cannot be resampled"):
        bootstrap([], metrics.accuracy)
