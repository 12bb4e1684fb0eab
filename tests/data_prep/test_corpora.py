"""The registry of corpora: each has its command, its reader and its entry in lists."""

import runpy
import sys
from pathlib import Path

import pytest

import data_prep.corpora
from data_prep.corpora.registry import CORPORA

SHARED = {"__init__", "annotators", "mmsa", "recordings", "registry"}
SHARED |= {"toy_annotators", "toy_dialogues", "toy_draws", "toy_voice"}


@pytest.mark.parametrize("corpus", CORPORA)
def test_each_corpus_has_its_command(
    corpus: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [corpus, "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module(f"data_prep.{corpus}", run_name="__main__")
    assert stop.value.code == 0
    usage = capsys.readouterr().out
    assert usage.startswith(f"usage: python -m data_prep.{corpus} ")
    assert CORPORA[corpus].summary in usage


def test_each_reader_is_registered() -> None:
    readers = {file.stem for file in Path(data_prep.corpora.__path__[0]).glob("*.py")} - SHARED
    assert readers == set(CORPORA)
    assert list(CORPORA) == sorted(CORPORA)


@pytest.mark.parametrize("corpus", CORPORA)
def test_the_summary_names_the_corpus_in_a_line(corpus: str) -> None:
    name, colon, _ = CORPORA[corpus].summary.partition(":")
    assert colon
    assert name.replace("-", "_").lower() == corpus
