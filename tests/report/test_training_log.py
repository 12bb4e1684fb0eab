"""Figures of every epoch, from logs that fairseq itself writes."""

import logging
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from codes import raises
from fairseq.logging import progress_bar
from report_cases import LOGGED

from emo_fairseq.evaluation.training_log import (
    cases,
    csv_text,
    read_log,
)


@pytest.fixture
def fairseq_logger() -> Iterator[logging.Logger]:
    logger = progress_bar.logger
    level, handlers = logger.level, list(logger.handlers)
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


def write_with_fairseq(file: Path, tensorboard: Path | None = None) -> None:
    """As fairseq_cli.train does: a bar for each epoch and validation, which prints at its end."""
    for number, (train, valid) in enumerate(LOGGED, start=1):
        for split, stats in (("valid", valid), ("train", train)):
            bar = progress_bar.progress_bar(
                [0],
                log_format="json",
                log_file=str(file) if split == "train" else None,
                epoch=number,
                tensorboard_logdir=str(tensorboard) if tensorboard else None,
            )
            bar.print({**stats, "num_updates": 15 * number}, tag=split, step=15 * number)
    progress_bar._close_writers()  # which fairseq does at its exit
    progress_bar._tensorboard_writers.clear()


def test_fairseqs_log_file_and_tensorboard_say_the_same(
    tmp_path: Path, fairseq_logger: logging.Logger
) -> None:
    fairseq_logger.addHandler(logging.FileHandler(tmp_path / "log"))  # fairseq_cli.train's own
    write_with_fairseq(tmp_path / "log", tmp_path / "events")
    for place in ("log", "events"):
        epochs = read_log(tmp_path / place)
        assert [epoch.number for epoch in epochs] == [1, 2]
        assert [epoch.train["loss"] for epoch in epochs] == pytest.approx([2.0, 1.5])
        assert [epoch.valid["uar"] for epoch in epochs] == pytest.approx([0.25, 0.5])


LINE = '{"epoch": %d, "valid_loss": "%s", "valid_num_updates": "%d"}'


def test_lines_behind_a_time_stamp_and_cut_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text(
        "Namespace(no data)\n{'_name': None, 'common': {}}\n2026-01-01 00:00:00 | INFO | valid | "
        + LINE % (1, "1.5", 15)
        + "\n"
        + '{"epoch": 1, "update": 0.5, "loss": "9", "num_updates": "7"}\n'
        + (LINE % (2, "0.5", 30))[:30]
    )
    (epoch,) = read_log(tmp_path / "log")
    assert epoch.valid["loss"] == 1.5
    assert epoch.train == {}
    assert caplog.messages == ["--log: 1 lines are no JSON, and are left out: line 5"]


def test_a_later_training_in_the_same_file_is_read_alone(tmp_path: Path) -> None:
    lines = [LINE % (number, number, number) for number in (1, 2, 3, 1, 2)]
    (tmp_path / "log").write_text("\n".join(lines))
    assert [epoch.number for epoch in read_log(tmp_path / "log")] == [1, 2]
    resumed = [LINE % (number, loss, number) for number, loss in ((1, 1), (2, 2), (2, 5), (3, 3))]
    (tmp_path / "log").write_text("\n".join(resumed))
    assert [epoch.valid["loss"] for epoch in read_log(tmp_path / "log")] == [1, 5, 3]


def test_csv_of_labels_and_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        '{"epoch": 1, "train_loss": "2.5", "train_num_updates": "9"}\n'
        '{"epoch": 1, "valid_loss": "1.5", "valid_uar": "0.25", "valid_wa": "nan", '
        '"valid_rmse": "0.3", "valid_rmse_valence": "0.2", "valid_rmse_arousal": "0.4", '
        '"valid_rmse@text": "9", "valid_num_updates": "9"}\n'
    )
    epochs = read_log(tmp_path / "log")
    assert csv_text(epochs, has_labels=True) == (
        "epoch,train_loss,val_loss,val_uar,val_wa,val_weighted_f1\n1,2.5,1.5,0.25,,\n"
    )
    header, row = csv_text(epochs, has_labels=False).splitlines()
    assert header == "epoch,train_loss,val_loss,val_mse,val_rmse,val_mae"
    # The mean of 0.04 and 0.16, and its root: not the mean of the roots that fairseq logged.
    assert row == "1,2.5,1.5,0.1,0.316227766,"
    assert cases(epochs[0]) == {"text": {"rmse": 9.0}}


def test_a_log_without_epochs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("epoch 001 | loss 2.1 | uar 0.3\n")
    (tmp_path / "folder").mkdir()
    for name, code in {
        "log": "log-no-epoch",
        "folder": "log-no-epoch",
        "nowhere": "log-missing",
    }.items():
        with raises(code):
            read_log(tmp_path / name)


def test_another_valid_subset_stands_in(tmp_path: Path) -> None:
    (tmp_path / "log").write_text('{"epoch": 1, "dev_uar": "0.5", "dev_num_updates": "3"}')
    (epoch,) = read_log(tmp_path / "log")
    assert epoch.valid_split == "dev"
    assert epoch.valid["uar"] == 0.5
    assert math.isnan(epoch.valid.get("loss", math.nan))
