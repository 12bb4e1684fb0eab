"""The line that shows how far a training is."""

import math

import pytest

from emo_fairseq.training.run_progress import RunProgress, metrics_text


def config(max_epoch: int = 0, max_update: int = 0) -> dict:
    return {
        "optimization": {"max_epoch": max_epoch, "max_update": max_update},
        "checkpoint": {"best_checkpoint_metric": "uar", "save_dir": "runs/a"},
        "dataset": {"valid_subset": "valid,test"},
    }


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_left_is_that_of_the_speed_since_the_first_update() -> None:
    clock = Clock()
    progress = RunProgress(clock)
    progress.configure(config(max_epoch=4))
    progress.advance(1, 0.5, 0)  # the first batch is slow, and does not count
    clock.now += 30
    assert progress.time_left == ""
    progress.advance(1, 1.0, 1)
    clock.now += 60
    progress.advance(2, 1.0, 3)
    assert progress.share == 0.5
    assert progress.seconds == 90
    assert progress.seconds_left == pytest.approx(120)  # two more epochs, a minute each
    assert progress.time_left == "0:02:00 left"


def test_a_resumed_training_counts_its_own_time() -> None:
    clock = Clock()
    progress = RunProgress(clock)
    progress.configure(config(max_update=100))
    progress.advance(7, 0.5, 80)
    clock.now += 10
    progress.advance(7, 0.6, 90)
    assert progress.seconds_left == pytest.approx(10)
    assert progress.title == "epoch 7"  # of no known number


def test_the_nearer_end_counts_and_without_one_nothing_is_left() -> None:
    progress = RunProgress()
    progress.configure(config(max_epoch=10, max_update=20))
    progress.advance(2, 0.0, 15)
    assert progress.share == 0.75
    progress.configure(config())
    progress.advance(2, 0.0, 15)
    assert progress.share == 0
    assert progress.time_left == ""


def test_a_validation_is_one_line() -> None:
    progress = RunProgress(Clock())
    progress.configure(config(max_epoch=2))
    progress.advance(1, 1.0, 8)
    stats = {"loss": 1.5, "uar": 0.5, "wa": 0.6, "recall_sad": 0.4, "wps": 9.0, "num_updates": 8}
    wanted = "epoch 1 of 2 | 8 updates | train loss 2.000 | valid loss 1.500, uar 0.500, wa 0.600"
    assert progress.validate("valid", stats, 2.0) == f"{wanted} | best uar 0.500"
    assert progress.last_validation == "valid uar 0.500, loss 1.500 | best uar 0.500"
    other = progress.validate("test", {"loss": 3.0, "uar": 0.9, "num_updates": 8}, 2.0)
    assert other == "epoch 1 of 2 | 8 updates | test loss 3.000, uar 0.900"
    assert progress.best == 0.5  # the test split selects nothing
    progress.validate("valid", stats | {"uar": 0.3, "best_uar": 0.5}, None)
    assert progress.best_text == "best uar 0.500"


def test_an_undefined_metric_is_not_the_best() -> None:
    progress = RunProgress()
    progress.configure(config(max_epoch=2))
    assert "uar nan" in progress.validate("valid", {"uar": math.nan, "num_updates": 1}, None)
    assert progress.best is None
    assert "best" not in progress.summary()


def test_metrics_of_labels_axes_and_cases_are_details() -> None:
    stats = {"ccc": 0.5, "ccc_valence": 0.4, "ccc@text": 0.3, "wpb": 3.0, "other": [1]}
    assert metrics_text(stats) == "ccc 0.500"
    assert metrics_text(stats, "ccc@text") == "ccc 0.500, ccc@text 0.300"
    detailed = "ccc 0.500, ccc_valence 0.400, ccc@text 0.300"
    assert metrics_text(stats, in_detail=True) == detailed
