"""Progress without a terminal: a line a minute, and none of short work."""

import pytest

from data_prep import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute(clock, capsys):
    for _ in progress.track(range(1200), "log_mel train", 1200):
        clock[0] += 0.5
    assert capsys.readouterr().err.splitlines() == [
        f"log_mel train: {done:,} of 1,200 rows, {left} min left"
        for done, left in zip(range(120, 1201, 120), range(9, -1, -1), strict=True)
    ]


def test_short_work_writes_nothing(clock, capsys):
    assert list(progress.track("abc", "audio", 3, "file")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_hidden_progress_writes_nothing(clock, capsys):
    with progress.show_progress("audio", 10, "file", hidden=True) as update:
        clock[0] = 600.0
        update(5)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True)
    assert list(progress.track("abc", "audio", 3, "file")) == ["a", "b", "c"]
    assert "audio: 100%" in capsys.readouterr().err
