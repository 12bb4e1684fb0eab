"""Which checkpoints are scored, and how labels of another corpus become the model's."""

import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
import soundfile
import torch
import yaml
from codes import raises

from data_prep.errors import ManifestError
from data_prep.schema import Corpus, Utterance, read_corpus, read_manifest, write_corpus
from emo_fairseq.experiments import score
from emo_fairseq.experiments.checkpoints import read_checkpoint
from emo_fairseq.experiments.jobs import run_all
from emo_fairseq.experiments.results import read_results
from emo_fairseq.experiments.runs import RunFolder, find_runs
from emo_fairseq.experiments.scoring import score_steps
from emo_fairseq.experiments.scoring_sets import (
    RelabeledData,
    ScoringSet,
    read_label_map,
    sets_of_corpora,
)

LABELS = ("neutral", "sad")


@pytest.fixture
def write_checkpoint(tmp_path):
    """Write what is read of a checkpoint beside its weights; returns the run's folder."""

    def write(name="checkpoint_best.pt", updates=3, **config):
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        state = {
            "cfg": {"task": {"_name": "emotion_prediction"}, **config},
            "task_state": {"labels": list(LABELS)},
            "optimizer_history": [{"num_updates": updates}],
            "model": {"weight": torch.zeros(2)},
        }
        torch.save(state, run / name)
        return run

    return write


def test_read_checkpoint(write_checkpoint):
    run = write_checkpoint(updates=7, common={"seed": 5, "fp16": None})
    checkpoint = read_checkpoint(run / "checkpoint_best.pt")
    assert (checkpoint.labels, checkpoint.updates, checkpoint.options.seed) == (LABELS, 7, 5)
    assert "common.fp16" not in checkpoint.options.values


def test_files_that_are_no_checkpoint(tmp_path):
    file = tmp_path / "checkpoint_best.pt"
    file.write_bytes(b"nothing")
    with raises("checkpoint-unreadable"):
        read_checkpoint(file)
    torch.save({"weights": 1}, file)
    with raises("checkpoint-unreadable"):
        read_checkpoint(file)


def test_labels_of_another_form_are_named(write_checkpoint):
    file = write_checkpoint() / "checkpoint_best.pt"
    state = torch.load(file, weights_only=True)
    torch.save({**state, "task_state": {"labels": ["sad", 3]}}, file)
    with pytest.raises(ManifestError, match=r"best\.pt: task_state\.labels\[1\]"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"dataset": {"valid_subset": "test,valid"}}, "test-set-selects"),
        ({"dataset": {"train_subset": "train,test"}}, "test-set-trained-on"),
    ],
)
def test_the_test_set_selects_nothing(write_checkpoint, config, code, capsys):
    """In runs that no sweep has made, too."""
    assert score.main([str(write_checkpoint(**config))]) == 1
    assert f"[{code}]" in capsys.readouterr().out


def test_the_training_corpus_is_not_scored_as_another(write_checkpoint, write_data, capsys):
    """Its test split may hold what a fold has trained on."""
    data = write_data({"a": "anna"})
    run = write_checkpoint(task={"_name": "emotion_prediction", "data": str(data)})
    assert score.main([str(run), "--data", str(data)]) == 0
    assert "left out: it was trained on this data dir" in capsys.readouterr().out


def test_without_a_selected_checkpoint(write_checkpoint, capsys):
    run = write_checkpoint("checkpoint_last.pt")
    assert score.main([str(run)]) == 1
    assert "[checkpoint-missing]" in capsys.readouterr().out


def test_another_split_of_a_run_without_checkpoints(write_checkpoint):
    """Its predictions are not taken for those of another split."""
    run = RunFolder(write_checkpoint())
    run.best.unlink()
    run.predictions_file().write_text("id\n")
    for facts in ({}, {"set": {"split": "test1"}}):
        run.predictions_file().with_suffix(".json").write_text(json.dumps(facts))
        outcome = run_all({"a": score_steps(run, ScoringSet("test1"))}, 1, lambda *_: None)["a"]
        assert outcome.message == "scored before, its checkpoints are gone"
    outcome = run_all({"a": score_steps(run, ScoringSet())}, 1, lambda *_: None)["a"]
    assert not outcome.ok
    assert "[checkpoint-missing]" in outcome.message


def test_a_sweep_that_has_not_ended(write_checkpoint, capsys):
    run = write_checkpoint()
    RunFolder(run).set_state("training")
    assert score.main([str(run)]) == 1
    assert "[run-unfinished]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"optimization": {"max_update": 9}}, "stopped after 3 of 9 updates"),
        ({"optimization": {"max_update": 3}}, "no set has chosen"),
        ({"optimization": {"max_update": 9}, "checkpoint": {"patience": 2}}, "no set has chosen"),
    ],
)
def test_a_training_that_stopped(write_checkpoint, config, reason):
    run = write_checkpoint("checkpoint_last.pt", **config)
    _, (unfinished,) = read_results(find_runs([run]))
    assert reason in unfinished.reason


def relabel(data, split, labels, folder):
    folder.mkdir()
    return RelabeledData(data, split, labels, folder)


def test_labels_of_the_model(write_data, tmp_path):
    """Rows without a label keep their place, since tokens and features are found by row."""
    data = write_data({"a": "anna", "b": "berta"})
    (data / "text").mkdir()
    relabeled = relabel(data, "all", {"happy": "sad"}, tmp_path / "one")
    copy = relabeled.get("emotion", LABELS)
    rows = read_manifest(copy.path / "all.tsv")
    assert [(row.id, row.emotion) for row in rows] == [("a", "sad"), ("b", "sad")]
    assert copy.left_out == {}
    assert read_corpus(copy.path).labels["emotion"] == LABELS
    assert (copy.path / "text").resolve() == data / "text"
    assert relabeled.get("emotion", LABELS) is copy

    copy = relabel(data, "all", {"happy": None}, tmp_path / "two").get("emotion", LABELS[:1])
    assert [row.emotion for row in read_manifest(copy.path / "all.tsv")] == [None, None]
    assert copy.left_out == {"happy": 2}


@pytest.mark.parametrize(
    ("labels", "target", "split", "code"),
    [
        ({"happy": "bored"}, "emotion", "all", "label-unknown"),
        ({"happy": "sad"}, "vad", "all", "label-map-without-labels"),
        ({"happy": "sad"}, "emotion", "test", "split-missing"),
    ],
)
def test_maps_that_do_not_fit(write_data, tmp_path, labels, target, split, code):
    relabeled = relabel(write_data({"a": "anna"}), split, labels, tmp_path / "copies")
    with raises(code):
        relabeled.get(target, LABELS)


def test_a_map_is_a_table(tmp_path):
    file = tmp_path / "map.yaml"
    file.write_text(yaml.safe_dump({"joy": "happy", "calm": None}))
    assert read_label_map(file) == {"joy": "happy", "calm": None}
    with pytest.raises(ManifestError, match=r"none\.yaml"):
        read_label_map(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["joy\n", "{}", "no: happy", "joy: 1", "joy: [happy]"])
def test_a_map_of_another_form_is_refused(tmp_path, text):
    """Text to text, or to null: a key `no` is a truth value in YAML."""
    file = tmp_path / "map.yaml"
    file.write_text(text)
    with pytest.raises(ManifestError, match=r"map\.yaml"):
        read_label_map(file)


def test_options_that_belong_to_another_corpus(write_checkpoint, tmp_path):
    run = str(write_checkpoint())
    with raises("option-without-data"):
        score.main([run, "--label-map", "map.yaml"])
    with raises("data-dir-missing"):
        score.main([run, "--data", str(tmp_path / "none")])


def test_two_corpora_of_one_name_are_refused(write_data):
    """The predictions of one would replace those of the other."""
    first, second = write_data({"a": "anna"}), write_data({"b": "berta"}, "other")
    assert len(sets_of_corpora("--also-score", [first, second])) == 2
    corpus = read_corpus(second)
    corpus.name = "small"
    write_corpus(second, corpus, {"all": read_manifest(second / "all.tsv")})
    with raises("corpus-name-twice"):
        sets_of_corpora("--also-score", [first, second])


def test_predictions_of_other_rows_are_made_again(write_checkpoint, write_data):
    """The manifest of the corpus may have been corrected since."""
    other = write_data({"a": "anna"}, "other")
    run = RunFolder(write_checkpoint(task={"_name": "emotion_prediction", "data": "gone"}))
    test_set = ScoringSet("all", "other", other)

    def commands():
        """Return how many commands score the run; none is run."""
        steps, n_commands = score_steps(run, test_set), 0
        with suppress(StopIteration):
            next(steps)
            n_commands = 1
            file = run.predictions_file("other")
            file.write_text("id\n")
            steps.send(0)
        return n_commands

    assert [commands(), commands()] == [1, 0]
    write_data({"a": "anna", "b": "berta"}, "other")
    assert [commands(), commands()] == [1, 0]
    soundfile.write(other / "a.wav", np.full(800, 0.1), 16_000)
    row = Utterance("a", audio="a.wav", n_samples=800, emotion="sad")
    write_corpus(other, read_corpus(other), {"all": [row]})
    assert [commands(), commands()] == [1, 0]
    soundfile.write(other / "a.wav", np.full(800, 0.2), 16_000)  # in the same rows
    assert [commands(), commands()] == [1, 0]
    shutil.rmtree(other)  # nothing to compare with
    assert commands() == 0


def test_videos_of_another_corpus_are_its_own(write_checkpoint, tmp_path):
    """Those of the training may have the same names."""
    corpus = Corpus("filmed", labels={"emotion": LABELS}, video_raw="../clips")
    row = Utterance("a", text="so", emotion="sad", video="a.mp4")
    write_corpus(tmp_path / "other", corpus, {"test": [row]})
    task = {"_name": "emotion_prediction", "data": "gone", "video_raw": "elsewhere"}
    run = RunFolder(write_checkpoint(task=task))
    words = next(score_steps(run, ScoringSet("test", "other", tmp_path / "other"))).words
    assert words[words.index("--video-raw") + 1] == str((tmp_path / "clips").resolve())
