"""--save-embeddings, and what a training writes to TensorBoard beside fairseq's scalars."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboardX.proto.event_pb2 import Event

from emo_fairseq.tasks import loggers

OPTIONS = "--modality text --batch-size 8 --max-update 1"


def scored(trained, toy_corpus, fairseq, commands, file, batch_size):
    place = f"--path {trained(OPTIONS)} --data {toy_corpus} --valid-subset valid,test"
    save = f"--batch-size {batch_size} --save-embeddings {file}"
    fairseq("validate", commands["validate"], place, save)
    return np.load(file)


def test_embeddings_of_scored_splits(trained, toy_corpus, fairseq, commands, tmp_path):
    whole = scored(trained, toy_corpus, fairseq, commands, tmp_path / "whole.npz", 20)
    cut = scored(trained, toy_corpus, fairseq, commands, tmp_path / "cut.npz", 3)
    assert whole["splits"].tolist() == ["test"] * 12 + ["valid"] * 8
    assert whole["ids"].tolist() == cut["ids"].tolist()
    np.testing.assert_allclose(whole["embeddings"], cut["embeddings"], atol=1e-5)
    state = torch.load(trained(OPTIONS), weights_only=False)["model"]
    assert whole["embeddings"].shape == (20, state["head.out_proj.weight"].shape[1])
    assert np.ptp(whole["embeddings"], axis=0).max() > 1e-3  # not one vector for all


def events(folder: Path) -> list[Event]:
    from emo_fairseq.evaluation.training_log import _events

    return [event for file in folder.glob("*tfevents*") for event in _events(file.read_bytes())]


@pytest.mark.parametrize("target", ["emotion", "vad"])
def test_tensorboard(target, toy_corpus, fairseq, commands, tmp_path):
    logged, words = tmp_path / "logged", f"--modality text --target {target} --batch-size 8"
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'} --max-update 2"
    fairseq("train", commands["train"], place, words, f"--tensorboard-logdir {logged}")
    values = [value for event in events(logged / "valid") for value in event.summary.value]
    tags = {value.tag.split("/")[0] for value in values}
    assert "loss" in tags
    assert ("confusions" in tags) is (target == "emotion")
    if target == "emotion":
        text = next(v for v in values if v.tag.startswith("confusions") and v.tensor.string_val)
        cells = text.tensor.string_val[0].decode().splitlines()[2:]
        counts = [int(x) for line in cells for x in line.strip("| ").split(" | ")[1:]]
        assert sum(counts) == 8  # the valid split, every utterance once
        assert any(value.image.encoded_image_string for value in values)
        scalars = {value.tag: value.simple_value for value in values}
        assert scalars["val/uar"] == pytest.approx(scalars["uar"])
        assert scalars["val/accuracy"] == pytest.approx(scalars["wa"])
    (vectors,) = (logged / "valid").rglob("tensors.tsv")
    names = (vectors.parent / "metadata.tsv").read_text().split()
    assert len(names) == len(vectors.read_text().splitlines()) == 8


def test_tensorboard_of_a_scoring(trained, toy_corpus, fairseq, commands, tmp_path):
    """fairseq-validate logs the test splits of several corpora by their names."""
    place = f"--path {trained(OPTIONS)} --data {toy_corpus} --valid-subset valid,test"
    words = f"--batch-size 8 --tensorboard-logdir {tmp_path / 'logged'}"
    scored = fairseq("validate", commands["validate"], place, words)
    values = {
        value.tag: value.simple_value
        for split in ("valid", "test")
        for event in events(tmp_path / "logged" / split)
        for value in event.summary.value
        if value.HasField("simple_value")
    }
    assert values.keys() == {"val/uar", "val/accuracy", "test/toy_uar", "test/toy_accuracy"}
    assert values["test/toy_uar"] == pytest.approx(scored.figures("test")["uar"], abs=1e-5)


def test_principal_components_keep_distances():
    vectors = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32)
    found = loggers.principal_components(vectors)
    assert found.shape == (20, 20)
    distances = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (vectors, found)]
    np.testing.assert_allclose(*distances, atol=1e-4)
    assert loggers.principal_components(np.tile(vectors, (4, 1))).shape == (80, 50)


def test_loggers_keep_at_most_a_thousand():
    logged = loggers.ValidationLoggers("somewhere", None)
    rows = [loggers.Embedded(str(n), "valid", np.zeros(2)) for n in range(1500)]
    logged.update(rows[:700])
    logged.update(rows[700:])
    assert len(logged._rows) == 1000
    logged.update(rows[1400:])
    assert len(logged._rows) == 1000


class FakeRun:
    """Stands for the client of Weights & Biases, which wants an account or a folder of its own."""

    run = True

    def __init__(self):
        self.logged = {}

    @staticmethod
    def Table(columns, data):  # noqa: N802
        return columns, data

    def log(self, values, step):
        self.logged[step] = values


def test_tables_of_weights_and_biases(monkeypatch):
    wandb = FakeRun()
    monkeypatch.setitem(__import__("sys").modules, "wandb", wandb)
    logged = loggers.ValidationLoggers(None, "project")
    vectors = np.eye(4, dtype=np.float32)[:3]
    logged.update([loggers.Embedded(f"u{n}", "valid", v) for n, v in enumerate(vectors)])
    logged.log(np.array([[2.0, 0.0], [1.0, 0.0]]), ["sad", "happy"], step=7)
    columns, rows = wandb.logged[7]["valid/confusions"]
    assert (columns, rows) == (["truth", "sad", "happy"], [["sad", 2.0, 0.0], ["happy", 1.0, 0.0]])
    logged.log_metrics("valid", "toy", {"uar": 0.5, "loss": 1.0}, step=8)
    assert wandb.logged[8] == {"val/uar": 0.5}
    columns, rows = wandb.logged[7]["valid/embeddings"]
    assert [row[0] for row in rows] == ["u0", "u1", "u2"]
    assert len(columns) == len(rows[0])
