"""What is scored and what is not; labels in a model's words."""

import json

import pytest
import torch
import yaml

from data_prep.schema import read_corpus, read_manifest
from emo_fairseq.errors import UsageError
from emo_fairseq.experiments import score
from emo_fairseq.experiments.jobs import run_all
from emo_fairseq.experiments.options import read_checkpoint
from emo_fairseq.experiments.runs import (
    RunFolder,
    find_runs,
    read_results,
)
from emo_fairseq.experiments.score import (
    MappedFolders,
    ScoringSet,
    read_label_map,
    score_steps,
)

KNOWN = ("neutral", "sad")


@pytest.fixture
def write_checkpoint(tmp_path):
    """Write what is read of a checkpoint beside its weights; returns the run's folder."""

    def write(name="checkpoint_best.pt", updates=3, **config):
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        state = {
            "cfg": {"task": {"_name": "emotion_prediction"}, **config},
            "task_state": {"labels": list(KNOWN)},
            "optimizer_history": [{"num_updates": updates}],
            "model": {"weight": torch.zeros(2)},
        }
        torch.save(state, run / name)
        return run

    return write


def test_what_a_checkpoint_says(write_checkpoint):
    run = write_checkpoint(updates=7, common={"seed": 5, "fp16": None})
    found = read_checkpoint(run / "checkpoint_best.pt")
    assert (found.labels, found.updates, found.options.seed) == (KNOWN, 7, 5)
    assert "common.fp16" not in found.options.values


def test_what_is_no_checkpoint(tmp_path):
    file = tmp_path / "checkpoint_best.pt"
    file.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read as a checkpoint"):
        read_checkpoint(file)
    torch.save({"weights": 1}, file)
    with pytest.raises(UsageError, match="cannot be read as a checkpoint"):
        read_checkpoint(file)


def test_labels_of_another_form_are_named(write_checkpoint):
    file = write_checkpoint() / "checkpoint_best.pt"
    state = torch.load(file, weights_only=True)
    torch.save({**state, "task_state": {"labels": ["sad", 3]}}, file)
    with pytest.raises(UsageError, match=r"best\.pt: task_state\.labels\[1\] is 3 where text"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"dataset": {"valid_subset": "test,valid"}}, "would choose the checkpoint"),
        ({"dataset": {"train_subset": "train,test"}}, "is trained on"),
    ],
)
def test_the_test_set_chooses_nothing(write_checkpoint, config, told, capsys):
    """Of runs that no sweep has made, too."""
    assert score.main([str(write_checkpoint(**config))]) == 1
    assert told in capsys.readouterr().out


def test_a_corpus_that_was_trained_on_is_no_other(write_checkpoint, write_data, capsys):
    """Its test split may hold what a fold has trained on."""
    data = write_data({"a": "anna"})
    run = write_checkpoint(task={"_name": "emotion_prediction", "data": str(data)})
    assert score.main([str(run), "--data", str(data)]) == 0
    assert "left out: it was trained on this data dir" in capsys.readouterr().out


def test_without_a_chosen_checkpoint(write_checkpoint, capsys):
    run = write_checkpoint("checkpoint_last.pt")
    assert score.main([str(run)]) == 1
    assert "no set has chosen a checkpoint" in capsys.readouterr().out


def test_another_split_of_a_run_without_checkpoints(write_checkpoint):
    """Its predictions are not taken for those of the split that is asked for."""
    run = RunFolder(write_checkpoint())
    run.best.unlink()
    run.predictions().write_text("id\n")
    for facts in ({}, {"set": {"split": "test1"}}):
        run.predictions().with_suffix(".json").write_text(json.dumps(facts))
        outcome = run_all({"a": score_steps(run, ScoringSet("test1"))}, 1, lambda *_: None)["a"]
        assert outcome.message == "scored before, its checkpoints are gone"
    outcome = run_all({"a": score_steps(run, ScoringSet())}, 1, lambda *_: None)["a"]
    assert not outcome.ok
    assert "is of test1, not of test, and the run's checkpoints are gone" in outcome.message


def test_a_sweep_that_has_not_ended(write_checkpoint, capsys):
    run = write_checkpoint()
    RunFolder(run).set_state("training")
    assert score.main([str(run)]) == 1
    assert "its training has not ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"optimization": {"max_update": 9}}, "stopped after 3 of 9 updates"),
        ({"optimization": {"max_update": 3}}, "no set has chosen"),
        ({"optimization": {"max_update": 9}, "checkpoint": {"patience": 2}}, "no set has chosen"),
    ],
)
def test_a_training_that_stopped(write_checkpoint, config, told):
    run = write_checkpoint("checkpoint_last.pt", **config)
    _, (unfinished,) = read_results(find_runs([run]))
    assert told in unfinished.why


def test_labels_in_a_models_words(write_data):
    """Rows without a word stay where they are, for tokens and features lie by row."""
    data = write_data({"a": "anna", "b": "berta"})
    (data / "text").mkdir()
    folders = MappedFolders()
    found = folders.folder(data, "all", "emotion", {"happy": "sad"}, KNOWN)
    rows = read_manifest(found.path / "all.tsv")
    assert [(row.id, row.emotion) for row in rows] == [("a", "sad"), ("b", "sad")]
    assert found.left_out == {}
    assert read_corpus(found.path).labels["emotion"] == KNOWN
    assert (found.path / "text").resolve() == data / "text"
    assert folders.folder(data, "all", "emotion", {"happy": "sad"}, KNOWN) is found

    others = folders.folder(data, "all", "emotion", {"happy": None}, KNOWN[:1])
    assert [row.emotion for row in read_manifest(others.path / "all.tsv")] == [None, None]
    assert others.left_out == {"happy": 2}
    folders.close()
    assert not found.path.exists()


@pytest.mark.parametrize(
    ("labels", "target", "split", "told"),
    [
        ({"happy": "bored"}, "emotion", "all", "bored is no label of the model"),
        ({"happy": "sad"}, "vad", "all", "has no labels"),
        ({"happy": "sad"}, "emotion", "test", "the folder has all"),
    ],
)
def test_maps_that_do_not_fit(write_data, labels, target, split, told):
    with pytest.raises(UsageError, match=told):
        MappedFolders().folder(write_data({"a": "anna"}), split, target, labels, KNOWN)


def test_a_map_is_a_table(tmp_path):
    file = tmp_path / "map.yaml"
    file.write_text(yaml.safe_dump({"joy": "happy", "calm": None}))
    assert read_label_map(file) == {"joy": "happy", "calm": None}
    with pytest.raises(UsageError, match="none.yaml: not found; write lines such as `joy: happy`"):
        read_label_map(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("joy\n", "it is 'joy' where a mapping is expected"),
        ("{}", "a length from 1 up"),
        ("no: happy", "the key False is no text; put it in quotes"),
        ("0: happy", "the key 0 is no text; put it in quotes"),
        ("joy: 1", "joy is 1 where text is expected; put it in quotes"),
        ("joy: [happy]", r"joy is \['happy'\] where text is expected"),
        ("joy: happy\njoy: sad", "line 2: has the key 'joy' twice"),
        ("a: &a happy\nb: *a", "anchor or alias"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_a_map_of_another_form_is_refused(tmp_path, text, what):
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=rf"map\.yaml: .*{what}.*; write lines such as"):
        read_label_map(file)


def test_options_that_belong_to_another_corpus(tmp_path):
    for words in (["--label-map", "map.yaml"], ["--data", str(tmp_path / "none")]):
        with pytest.raises(UsageError):
            score.main([str(tmp_path), *words])
