"""Predictions of several runs: rows that all have, folds together, metrics by axis."""

import pytest
import torch

from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    NumberPredictions,
    align,
    keys_of,
    pool,
    select,
)

N_ROWS = 60
NAMES = ("neutral", "happy", "sad")
AXES = ("valence", "arousal", "dominance")
IDS = tuple(f"{row:02d}" for row in range(N_ROWS))


def labels(seed: int) -> LabelPredictions:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.randint(3, (2, N_ROWS), generator=generator).to(torch.uint8)
    return LabelPredictions(IDS, NAMES, truth, prediction)


def numbers(seed: int) -> NumberPredictions:
    generator = torch.Generator().manual_seed(seed)
    truth, prediction = torch.rand(2, N_ROWS, 3, generator=generator, dtype=torch.float64)
    truth[0, 1] = torch.nan
    return NumberPredictions(IDS, AXES, truth, prediction)


def test_metrics_of_numbers_by_axis():
    run = numbers(3)
    metrics = run.statistics().metrics()
    known = ~run.truth[:, 1].isnan()
    error = (run.truth[known, 1] - run.prediction[known, 1]).abs().mean()
    assert metrics["mae_arousal"] == pytest.approx(float(error))
    assert metrics["mae"] == pytest.approx(sum(metrics[f"mae_{axis}"] for axis in AXES) / 3)


def test_rows_that_all_have_in_the_order_of_the_first():
    first, second = labels(1), select(labels(2), range(N_ROWS - 1, 4, -1))
    first, second = align([first, second])
    assert keys_of(first) == keys_of(second) == tuple(("", name) for name in IDS[5:])
    assert torch.equal(second.prediction, labels(2).prediction[5:])


def test_folds_together():
    whole = labels(1)
    folds = {"1": select(whole, range(20)), "2": select(whole, range(20, N_ROWS))}
    pooled = pool(folds)
    assert pooled.statistics().metrics() == whole.statistics().metrics()
    assert keys_of(pooled)[19:21] == (("1", "19"), ("2", "20"))


def test_the_same_id_in_two_folds_is_two_rows():
    whole = labels(1)
    pooled = pool({"1": whole, "2": whole})
    shared = align([pooled, pool({"2": whole})])
    assert keys_of(shared[0]) == tuple(("2", name) for name in IDS)
