"""``emotion-recognize``, run in the test's own process."""

from collections.abc import Callable

import pytest


@pytest.fixture(autouse=True)
def _few_resamples(few_resamples: None) -> None:
    """Most of these commands print intervals."""


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run ``emotion-recognize`` with these words; returns what it wrote. It has to succeed."""
    from emo_fairseq.cli.__main__ import main

    def run(*words: object, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code, capsys.readouterr().err
        return capsys.readouterr().out

    return run
