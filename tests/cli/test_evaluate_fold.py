"""``emotion-recognize evaluate`` of models that were trained on a fold: no other rows unasked."""

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from codes import raises

from data_prep.folds.__main__ import main as fold_main
from data_prep.folds.file import read_folds
from emo_fairseq.cli import processes
from emo_fairseq.cli.__main__ import main
from emo_fairseq.evaluation import predictions
from emo_fairseq.export.as_checkpoint import write_checkpoint
from emo_fairseq.inference.model_folder.records import seal

FOLD = "k_fold/3"  # whose train set is of several classes
OPTIONS = f"--modality speech --speech-input log_mel --fold {FOLD}"


@pytest.fixture
def folded(copy_toy: Callable[..., Path]) -> Path:
    """A toy corpus with folds of its train split."""
    data = copy_toy()
    fold_main([str(data), "--protocol", "k_fold", "--n-folds", "3", "--base", "train"])
    return data


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands of fairseq-validate, which are not run."""
    commands: list[list[str]] = []

    def run(words: list[str]) -> int:
        commands.append(list(words))
        row = predictions.label_row(["sad", "happy"], 0, 0, [1.0, 0.0])
        file = Path(option(words, "--save-predictions")[0])
        predictions.write(file, [{"id": "a", "split": "test", **row}])
        return 0

    monkeypatch.setattr(processes, "run_quietly", run)
    return commands


def option(words: list[str], name: str) -> list[str]:
    """Every value that an option is given."""
    return [value for word, value in pairwise(words) if word == name]


def test_a_fold_is_identified_by_its_corpus(folded, trained_models, scored, tmp_path, capsys):
    checkpoint = trained_models.checkpoint(OPTIONS, data=folded)
    other = shutil.copytree(folded, tmp_path / "elsewhere")
    for data in (folded, other):
        assert main(["evaluate", str(checkpoint), str(data)]) == 0
        assert option(scored.pop(), "--fold") == [FOLD]
    (other / "corpus.yaml").write_text("name: another\n")
    assert main(["evaluate", str(checkpoint), str(other)]) == 1
    error = capsys.readouterr().err
    assert "[fold-ambiguous]" in error
    assert "may be of another corpus" in error
    shutil.rmtree(other / "folds")
    assert main(["evaluate", str(checkpoint), str(other)]) == 1
    assert "has no folds/k_fold.json" in capsys.readouterr().err
    assert not scored
    for words in (["--fold", "k_fold/2"], ["--model-overrides", '{"fold": None}']):
        assert main(["evaluate", str(checkpoint), str(other), "--", *words]) == 0
        assert FOLD not in scored[-1]
        assert option(scored.pop(), words[0]) == words[1:]


@pytest.mark.parametrize("corpus", ["toy", None, "another"])
def test_another_corpus_at_the_path_of_the_training_data(
    corpus, folded, trained_models, scored, tmp_path, monkeypatch, capsys
):
    """A relative place, as seen from there and from elsewhere; its name decides, if it is known."""
    state = torch.load(trained_models.checkpoint(OPTIONS, data=folded), weights_only=True)
    assert state["task_state"]["corpus"] == "toy"
    state["cfg"]["task"]["data"] = folded.name
    state["task_state"]["corpus"] = corpus
    torch.save(state, tmp_path / "old.pt")
    (tmp_path / "away").mkdir()
    for place, is_known in ((folded.parent, corpus != "another"), ("away", corpus == "toy")):
        monkeypatch.chdir(tmp_path / place)
        assert main(["evaluate", str(tmp_path / "old.pt"), str(folded)]) == (0 if is_known else 1)
        assert ("[fold-ambiguous]" in capsys.readouterr().err) != is_known
        if is_known:
            assert option(scored.pop(), "--fold") == [FOLD]
    assert not scored


def test_a_model_folder_keeps_its_fold(folded, trained_models, command, started, tmp_path, capsys):
    model, saved = tmp_path / "model", tmp_path / "test.tsv"
    command("export", trained_models.checkpoint(OPTIONS, data=folded), "--output", model)
    words = ("evaluate", model, folded, "--cpu", "--save-predictions", saved, "-v")
    assert f"--fold {FOLD}" in command(*words)
    wanted = read_folds(folded / "folds" / "k_fold.json").folds[FOLD.partition("/")[2]]["test"]
    assert {row["id"] for row in predictions.read(saved)} == {*wanted}
    corpus = folded / "corpus.yaml"
    corpus.write_text(corpus.read_text().replace("name: toy\n", "name: another\n"))
    assert main([str(word) for word in words]) == 1
    assert "[fold-ambiguous]" in capsys.readouterr().err


def test_predictions_that_are_no_text(tmp_path):
    (tmp_path / "a.tsv").write_bytes(b"id\tsplit\n\xff\n")
    with raises("predictions-not-text"):
        predictions.read(tmp_path / "a.tsv")


def test_a_checkpoint_of_a_folder_has_our_options_alone(trained_models, tmp_path):
    speech = "--modality speech --speech-input log_mel --target vad"
    model = shutil.copytree(trained_models.folder(speech), tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    cfg = torch.load(write_checkpoint(model, tmp_path / "a.pt"), weights_only=True)["cfg"]
    assert cfg["task"]["save_predictions"] is None
    assert cfg["task"]["data_raw"] is None
    for name, value in (("save_predictions", "/tmp/elsewhere.tsv"), ("data_raw", "/etc")):
        of_machine = {**config, "task": {**config["task"], name: value}}
        (model / "config.json").write_text(json.dumps(of_machine))
        seal(model)
        with raises("option-unknown"):
            write_checkpoint(model, tmp_path / "c.pt")
    config["model"]["checkpoint_weights"] = "trained"
    (model / "config.json").write_text(json.dumps(config))
    with raises("weights-elsewhere"):
        write_checkpoint(model, tmp_path / "b.pt")
