"""The simulation behind docs/explanation/statistics.md, at a small size: metrics and coverage."""

import numpy as np
import pytest

from benchmarks.interval_coverage import (
    LABELS,
    N_CLASSES,
    NUMBERS,
    Population,
    in_use,
    left_out_metrics,
    resampled_metrics,
    true_metrics,
)
from emo_fairseq import metrics


def test_its_metrics_are_those_of_the_product() -> None:
    draw = np.random.default_rng(1)
    (confusions,) = LABELS.draw(draw, (3,), 0.5, 1)
    for found, row in zip(LABELS.metrics(confusions), confusions, strict=True):
        counts = row.reshape(N_CLASSES, N_CLASSES)
        expected = [metrics.CONFUSION_METRICS[key](counts) for key in LABELS.keys]
        assert found == pytest.approx(expected)
    (moments,) = NUMBERS.draw(draw, (3,), 0.5, 1)
    for found, row in zip(NUMBERS.metrics(moments), moments, strict=True):
        sums = np.append(row, [0.0, 0.0])
        assert found == pytest.approx([metrics.MOMENT_METRICS[key](sums) for key in NUMBERS.keys])


@pytest.mark.parametrize("population", [LABELS, NUMBERS], ids=["labels", "numbers"])
def test_the_interval_in_use_holds_where_a_bootstrap_does_not(population: Population) -> None:
    """Five speakers: 300 draws tell .95 from .80, give or take .02."""
    truth = true_metrics(population, 0.0)[0]
    draw = np.random.default_rng(5)
    (rows,) = population.draw(draw, (300, 5), 0.0, 1)
    metric, left_out = population.metrics(rows.sum(axis=1)), left_out_metrics(population, rows)
    ends = in_use(population.keys[0], metric[:, 0], left_out[..., 0], population.size(rows))
    drawn = resampled_metrics(population, rows, draw)[..., 0]
    bootstrap = np.nanquantile(drawn, [0.025, 0.975], axis=1).T
    held, by_bootstrap = (
        np.mean((low <= truth) & (truth <= high)) for low, high in (ends.T, bootstrap.T)
    )
    assert held > 0.91
    assert by_bootstrap < 0.88


def test_two_speakers_are_refused() -> None:
    (rows,) = LABELS.draw(np.random.default_rng(1), (4, 2), 0.5, 1)
    metric, left_out = LABELS.metrics(rows.sum(axis=1)), left_out_metrics(LABELS, rows)
    assert np.isnan(in_use("uar", metric[:, 0], left_out[..., 0], LABELS.size(rows))).all()
