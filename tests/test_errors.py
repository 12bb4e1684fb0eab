"""How mistakes read on the command line: one sentence, from wherever they were raised."""

import errno
import io
import os
import sys
from typing import Any

import pytest
import torch

from data_prep.audio.decoding import AudioError
from data_prep.command_line import run as data_prep_run
from data_prep.errors import CodedError, Fault, ManifestError, raise_faults
from emo_fairseq.cli.__main__ import main as emotion_recognize
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError


class Failing(torch.utils.data.Dataset):
    """Fails in a worker of a data loader, as a broken audio file does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise self.error


def error_of_a_worker(error: Exception) -> Exception:
    """What the main process gets, without the frames that would keep the worker alive."""
    loader = torch.utils.data.DataLoader(Failing(error), num_workers=1)
    try:
        next(iter(loader))
    except type(error) as raised:
        return raised.with_traceback(None)
    raise AssertionError("the worker did not fail")


def hooked(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[type]]:
    """What the hook prints for an error, and which errors it hands on."""
    handed_on: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *rest: handed_on.append(kind))
    excepthook.apply()
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    sys.excepthook(type(error), error, error.__traceback__)
    return printed.getvalue(), handed_on


@pytest.mark.parametrize("kind", [UsageError, ManifestError, CodedError, AudioError])
def test_a_mistake_is_one_sentence(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, handed_on = hooked(kind("train.tsv: row 3: no id; give one"), monkeypatch)
    assert printed == "error: train.tsv: row 3: no id; give one\n"
    assert not handed_on


def test_a_mistake_behind_fairseqs_own_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq replaces an error while it loads parameters by a bare Exception."""
    replacement = Exception("Cannot load model parameters")
    replacement.__context__ = UsageError("the checkpoint does not fit the model")
    printed, _ = hooked(replacement, monkeypatch)
    assert printed == "error: the checkpoint does not fit the model\n"


@pytest.mark.parametrize("kind", [UsageError, ManifestError])
def test_a_mistake_in_a_worker_is_one_sentence(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    error = error_of_a_worker(kind("a.wav: cut short; drop it"))
    assert isinstance(error, kind)
    assert "Traceback" in str(error), "the worker's own, as text"
    printed, _ = hooked(error, monkeypatch)
    assert printed == "error: a.wav: cut short; drop it\n"


LINES = "dict.txt: row 3: holds 'a\n  b\x1b[31m'; tokenize again"
ON_ONE_LINE = "error: dict.txt: row 3: holds 'a b\\x1b[31m'; tokenize again\n"


def test_a_message_of_several_lines_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hooked(UsageError(LINES), monkeypatch) == (ON_ONE_LINE, [])
    of_row = ManifestError(Fault("dict.txt", 3, "holds 'a\n  b\x1b[31m'", "tokenize again"))
    assert hooked(of_row, monkeypatch) == (ON_ONE_LINE, [])
    in_worker = hooked(error_of_a_worker(UsageError(LINES)), monkeypatch)
    assert in_worker == (ON_ONE_LINE, [])


def test_a_list_of_faults_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ManifestError) as raised:
        raise_faults([Fault("a.tsv", row, "no id", "give one") for row in (2, 3)])
    printed, _ = hooked(raised.value, monkeypatch)
    rows = "error: a.tsv: row 2: no id; give one\na.tsv: row 3: no id; give one\n2 faults\n"
    assert printed == rows


@pytest.mark.parametrize(
    ("number", "line", "code"),
    [
        (errno.ENOSPC, "no space left on device; free some space, and run the same", "disk-full"),
        (errno.EROFS, "read-only file system; write to a folder in which", "file-unwritable"),
        (errno.EACCES, "permission denied; change its permissions", "permission-denied"),
        (errno.ENOENT, "no such file or directory; check the path", "file-missing"),
        (errno.EIO, "input/output error", "system-error"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_sentence(
    number: int, line: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed, handed_on = hooked(OSError(number, os.strerror(number), "run.pt"), monkeypatch)
    assert printed.startswith(f"error: run.pt: {line}")
    assert printed.endswith(f" [{code}]\n")
    assert printed.count("\n") == 1
    assert not handed_on


def test_an_interruption_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed, handed_on = hooked(KeyboardInterrupt(), monkeypatch)
    assert printed == "interrupted; run the same command again to continue\n"
    assert not handed_on
    monkeypatch.undo()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    assert data_prep_run(interrupt) == 130
    assert capsys.readouterr().err == printed
    monkeypatch.setattr("emo_fairseq.cli.subcommands.run", interrupt)
    assert emotion_recognize(["report"]) == 130
    assert capsys.readouterr().err == printed


def test_any_other_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    printed, handed_on = hooked(KeyError("a bug"), monkeypatch)
    assert printed == ""
    assert handed_on == [KeyError]


def test_the_switch_brings_the_traceback_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_FAIRSEQ_TRACEBACK", "1")
    printed, handed_on = hooked(UsageError("no such folder"), monkeypatch)
    assert printed == ""
    assert handed_on == [UsageError]
