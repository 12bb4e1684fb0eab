"""One progress line on a terminal, and a line a validation without one."""

import io
import logging
from collections.abc import Iterator

import pytest
from fairseq.logging import metrics, progress_bar

from emo_fairseq.compat.verbosity import VERBOSE_SWITCH
from emo_fairseq.training.progress_bar import begin_run

CONFIG = {
    "optimization": {"max_epoch": 2, "max_update": 0},
    "checkpoint": {"best_checkpoint_metric": "uar", "save_dir": "runs/a"},
    "dataset": {"valid_subset": "valid"},
}
LOGGER = "emo_fairseq.training.progress_bar"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _new_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(VERBOSE_SWITCH, raising=False)
    begin_run()
    metrics.reset()
    yield
    begin_run()
    metrics.reset()


def train_an_epoch(epoch: int = 1, validates: bool = True, **options: object) -> None:
    """What fairseq-train does with progress bars in an epoch of two updates."""
    bar = progress_bar.progress_bar([[0], [1]], epoch=epoch, **options)
    bar.update_config(CONFIG)
    with metrics.aggregate("train"):
        for number, _ in enumerate(bar, start=1):
            metrics.log_scalar("num_updates", number, weight=0)
            metrics.log_scalar("loss", 2.0)
        if validates:
            log_format = options.get("log_format")
            valid = progress_bar.progress_bar([[0]], log_format, epoch=epoch, prefix="valid")
            assert list(valid) == [[0]]
            valid.print({"loss": 1.5, "uar": 0.5, "num_updates": 2}, tag="valid", step=2)
        bar.print({"loss": 2.0, "num_updates": 2}, tag="train", step=2)


def test_without_a_terminal_a_validation_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train_an_epoch()
    own = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    wanted = "epoch 1 of 2 | 2 updates | train loss 2.000 | valid loss 1.500, uar 0.500"
    assert [line.partition(" | best")[0] for line in own] == [wanted]
    # And fairseq's own lines, which go into files.
    assert [record.name for record in caplog.records] == ["valid", LOGGER, "train"]


def test_the_last_update_is_counted_without_a_validation(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train_an_epoch(validates=False)
        logging.getLogger("fairseq_cli.train").info("done training in 1.0 seconds")
    own = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert [line.partition(" | ")[0] for line in own] == [
        "trained to epoch 1, 2 updates, in 0:00:00"
    ]


def test_on_a_terminal_there_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("emo_fairseq.training.progress_bar._REDRAW_SECONDS", 0.0)
    with caplog.at_level(logging.INFO):
        train_an_epoch()
        train_an_epoch(epoch=2)
        logging.getLogger("fairseq_cli.train").info("done training in 1.0 seconds")
    assert "epoch 2 of 2" in err.getvalue()
    assert "valid uar 0.500, loss 1.500 | best uar 0.500" in err.getvalue()
    assert "validating" in err.getvalue()
    assert err.getvalue().count("\n") == 1  # at the end; each drawing replaces the one before
    own = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert len(own) == 1
    assert own[0].startswith("trained to epoch 2, 2 updates, in 0:00:00 | best uar 0.500")


def test_no_progress_bar_has_lines_on_a_terminal_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    with caplog.at_level(logging.INFO):
        train_an_epoch(default_log_format="simple")
    assert LOGGER in [record.name for record in caplog.records]


@pytest.mark.parametrize("is_verbose", [False, True])
def test_fairseqs_bars_are_kept_for_programs_and_when_verbose(
    is_verbose: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_verbose:
        monkeypatch.setenv(VERBOSE_SWITCH, "1")
    log_format = "simple" if is_verbose else "json"
    bar = progress_bar.progress_bar([[0]], log_format=log_format, epoch=1)
    wanted = progress_bar.SimpleProgressBar if is_verbose else progress_bar.JsonProgressBar
    assert type(bar) is wanted


def test_a_log_file_has_fairseqs_lines_and_the_screen_ours(
    tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "train.log"
    handlers = list(progress_bar.logger.handlers)
    with caplog.at_level(logging.INFO):
        train_an_epoch(log_format="json", log_file=str(file))
    for handler in set(progress_bar.logger.handlers) - {*handlers}:
        progress_bar.logger.removeHandler(handler)
        handler.close()
    lines = file.read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ['{"epoch": 1', '{"epoch": 1']
    assert '"valid_uar": "0.5"' in lines[0]
    assert LOGGER in [record.name for record in caplog.records]


def test_a_validation_without_a_training_lists_all_metrics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bar = progress_bar.progress_bar([[0]], prefix="valid on 'test' subset")
    assert list(bar) == [[0]]
    with caplog.at_level(logging.INFO):
        bar.print({"loss": 1.0, "uar": 0.5, "recall_sad": 0.25, "wps": 3.0}, tag="test", step=0)
    assert caplog.messages[-1] == "test: loss 1.000, uar 0.500, recall_sad 0.250"
