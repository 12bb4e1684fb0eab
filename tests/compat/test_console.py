"""What fairseq's commands print, and what they only write into files."""

import io
import logging
import logging.config
import sys
import warnings
from collections.abc import Iterator

import pytest
from fairseq.logging import progress_bar

from emo_fairseq.compat import console
from emo_fairseq.compat.verbosity import VERBOSE_SWITCH

COMPLETE = "%(asctime)s | %(levelname)s | %(name)s | %(message)s"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """The stream of a command's handler, shortened."""
    monkeypatch.delenv(VERBOSE_SWITCH, raising=False)
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(COMPLETE))
    monkeypatch.setattr(root, "handlers", [handler])
    level = root.level
    root.setLevel(logging.DEBUG)
    with warnings.catch_warnings():
        console.shorten()
        console.shorten()  # changes nothing
        yield stream
    root.setLevel(level)
    console.print_progress_of_fairseq(True)


def messages(stream: io.StringIO) -> list[str]:
    """The lines without their time."""
    return [line.partition(" | ")[2] for line in stream.getvalue().splitlines()]


def log_everything() -> None:
    logging.getLogger("fairseq_cli.train").info("{'_name': None, ...}")
    logging.getLogger("fairseq.trainer").info("Loaded checkpoint a.pt (epoch 3 @ 45 updates)")
    logging.getLogger("fairseq_cli.train").info("early stop since %s", "valid")
    logging.getLogger("emo_fairseq.tasks.datasets").info("valid: %d utterances", 120)
    logging.getLogger("emo_fairseq.tasks").debug("a detail")
    logging.getLogger("numexpr").debug("a detail of a library")
    logging.getLogger("fairseq.trainer").warning("out of %s", "memory")


def test_ours_warnings_and_the_course_of_a_training_are_printed(printed: io.StringIO) -> None:
    log_everything()
    assert messages(printed) == [
        "Loaded checkpoint a.pt (epoch 3 @ 45 updates)",
        "early stop since valid",
        "valid: 120 utterances",
        "warning: out of memory",
    ]


def test_the_switch_prints_everything_or_warnings_alone(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VERBOSE_SWITCH, "1")
    log_everything()
    assert len(messages(printed)) == 7
    printed.truncate(0)
    printed.seek(0)
    monkeypatch.setenv(VERBOSE_SWITCH, "0")
    log_everything()
    assert messages(printed) == ["warning: out of memory"]


def test_lines_for_programs_keep_their_form(printed: io.StringIO) -> None:
    bar = progress_bar.JsonProgressBar([], epoch=1)
    for is_printed in (True, False):
        console.print_progress_of_fairseq(is_printed)
        bar.print({"loss": 1.0}, tag="valid")
    (line,) = printed.getvalue().splitlines()
    assert line.endswith(' | INFO | valid | {"epoch": 1, "valid_loss": "1"}')


def test_files_keep_the_whole_log(printed: io.StringIO, tmp_path) -> None:
    file = logging.FileHandler(tmp_path / "hydra_train.log")
    root = logging.getLogger()
    root.addHandler(file)
    console.shorten()
    log_everything()
    file.close()
    assert len((tmp_path / "hydra_train.log").read_text().splitlines()) == 7


def test_hydras_handlers_are_shortened_in_its_command_alone(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
        "root": {"level": "INFO", "handlers": ["console"]},
        "disable_existing_loggers": False,
    }
    monkeypatch.delitem(sys.modules, "fairseq_cli.hydra_train", raising=False)
    logging.config.dictConfig(config)
    logging.getLogger("my.program").info("mine")
    assert capsys.readouterr().out == "mine\n"
    monkeypatch.setitem(sys.modules, "fairseq_cli.hydra_train", sys)
    logging.config.dictConfig(config)
    log_everything()
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_terminal_shows_neither_time_nor_fairseqs_log(
    printed: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    first, second = Terminal(), Terminal()
    monkeypatch.setattr("sys.stdout", first)
    logging.getLogger().handlers = [logging.StreamHandler(first)]
    console.shorten()
    monkeypatch.setattr("sys.stdout", second)  # as a progress line does
    logging.getLogger("emo_fairseq").info("valid: 120 utterances")
    assert (first.getvalue(), second.getvalue()) == ("", "valid: 120 utterances\n")


def test_deprecation_in_other_libraries_is_not_warned_of(printed: io.StringIO) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        console.shorten()
        warnings.warn("torch.cuda.amp.autocast is deprecated", FutureWarning, stacklevel=1)
        warnings.warn("hydra.experimental.compose() is no longer experimental.", stacklevel=1)
        warnings.warn("\nThe strict flag in the compose API is deprecated", stacklevel=1)
        warnings.warn("lr_scheduler.step() before optimizer.step()", stacklevel=1)
    assert [str(warning.message) for warning in caught] == [
        "lr_scheduler.step() before optimizer.step()"
    ]
