"""``emotion-recognize evaluate``: metrics with intervals, the files that were written, no more."""

import json
import sys
from pathlib import Path

import pytest

from emo_fairseq.cli.__main__ import main
from emo_fairseq.compat.verbosity import VERBOSE_SWITCH
from emo_fairseq.evaluation.statistics import metrics_and_baseline, read_predictions

TEXT = "--modality text"


@pytest.fixture(scope="module")
def checkpoint(trained_models) -> Path:
    return trained_models.checkpoint(TEXT)


def test_metrics_and_files_are_printed_and_nothing_else(
    checkpoint, toy_corpus, command, started, tmp_path
):
    saved, embeddings = tmp_path / "test.tsv", tmp_path / "test.npz"
    words = [checkpoint, toy_corpus, "--cpu", "--save-predictions", saved]
    out = command("evaluate", *words, "--", f"--save-embeddings={embeddings}")
    head, columns, *lines = out.splitlines()
    # The test split has two speakers.
    assert head == (
        "test, 12 utterances; in parentheses 95% intervals over utterances (2 speakers < 3: no "
        "interval over speakers)"
    )
    assert columns.split() == ["model", "majority"]
    assert lines[-2:] == [f"predictions: {saved}", f"embeddings: {embeddings}"]
    values = metrics_and_baseline(read_predictions(saved)["test"])
    uar = next(line for line in lines if line.startswith("UAR")).split()
    assert uar[1] == f"{values['uar']:.3f}"
    assert uar[-1] == f"{values['uar_majority']:.3f}"
    assert sum(line.startswith("recall, ") for line in lines) == 4
    assert embeddings.is_file()


def test_json_has_every_metric(checkpoint, toy_corpus, command, started):
    record = json.loads(command("evaluate", checkpoint, toy_corpus, "--cpu", "--json"))
    assert record["files"] == {}
    assert record["leak_allowed"] == []
    scored = record["splits"]["test"]
    assert scored["utterances"] == 12
    uar = scored["metrics"]["uar"]
    assert uar["low"] <= uar["value"] <= uar["high"]
    assert uar["baseline"] == 0.25
    assert scored["metrics"]["recall_sad"].keys() == {"value", "low", "high"}


def test_a_failure_is_fairseq_validates(checkpoint, toy_corpus, monkeypatch, capfd):
    words = ["evaluate", str(checkpoint), str(toy_corpus)]
    failing = [sys.executable, "-c", "import sys; print('to a file'); sys.exit(3)"]
    monkeypatch.setattr("emo_fairseq.cli.evaluate.fairseq_command.command", lambda *_: failing)
    assert main(words) == 3
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "to a file\n")


def test_fairseqs_log_is_printed_with_v(checkpoint, toy_corpus, monkeypatch, capfd):
    code = f"import os; print('switch', os.environ['{VERBOSE_SWITCH}']); exit(4)"
    monkeypatch.setattr(
        "emo_fairseq.cli.evaluate.fairseq_command.command", lambda *_: [sys.executable, "-c", code]
    )
    monkeypatch.setenv(VERBOSE_SWITCH, "")
    for further, shown in (([], ["switch 0"]), (["-v"], ["switch 1"])):
        assert main(["evaluate", str(checkpoint), str(toy_corpus), *further]) == 4
        printed = capfd.readouterr()
        lines = [*printed.out.splitlines(), *printed.err.splitlines()]
        assert [line for line in lines if not line.startswith("$ ")] == shown
        assert any(line.startswith("$ ") for line in lines) == bool(further)
