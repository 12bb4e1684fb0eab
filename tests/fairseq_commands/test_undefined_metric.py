"""A metric that is undefined in some epoch chooses no checkpoint and unseats no best one."""

import math
from dataclasses import replace

import pytest
import torch
from fairseq_cli import train as fairseq_train

from emo_fairseq.errors import UsageError
from emo_fairseq.tasks.undefined_metric import undefined_because


@pytest.mark.parametrize("undefined_epoch", [2, 3])
def test_nan_chooses_nothing(undefined_epoch, toy_corpus, fairseq, commands, monkeypatch, tmp_path):
    """Were a NaN taken for a score, the epoch after it would overwrite the best checkpoint."""
    scores = {1: 0.9, 2: 0.4, 3: 0.5, 4: 0.6} | {undefined_epoch: math.nan}
    course = iter(scores.values())
    measure = fairseq_train.get_valid_stats

    def scripted(*args):
        return {**measure(*args), "uar": next(course)}

    monkeypatch.setattr(fairseq_train, "get_valid_stats", scripted)
    options = f"""--modality text --batch-size 16 --max-epoch 4 --data {toy_corpus}
        --best-checkpoint-metric uar --maximize-best-checkpoint-metric --save-dir {tmp_path}"""
    fairseq("train", commands["train"], options)
    best = torch.load(tmp_path / "checkpoint_best.pt")
    assert best["extra_state"]["train_iterator"]["epoch"] == 2  # where epoch 1 ended


@pytest.mark.parametrize("maximize", [True, False])
def test_the_best_checkpoints_are_kept_below_0(
    maximize, toy_corpus, fairseq, commands, monkeypatch, tmp_path
):
    metric = "uar" if maximize else "loss"
    course = iter((-0.5, -0.25, 0.125, -0.125) if maximize else (0.5, 0.25, -0.125, -0.25))
    measure = fairseq_train.get_valid_stats

    def scripted(*args):
        return {**measure(*args), metric: next(course)}

    monkeypatch.setattr(fairseq_train, "get_valid_stats", scripted)
    options = f"""--modality text --batch-size 16 --max-epoch 4 --data {toy_corpus}
        --best-checkpoint-metric {metric} --keep-best-checkpoints 2 --save-dir {tmp_path}"""
    end = "--maximize-best-checkpoint-metric" if maximize else ""
    fairseq("train", commands["train"], options, end)
    kept = [file.stem.rpartition("_")[2][:-1] for file in tmp_path.glob("checkpoint.best_*.pt")]
    assert sorted(kept) == (["-0.125", "0.125"] if maximize else ["-0.125", "-0.250"])


def test_a_training_says_where_no_best_checkpoint_was_kept(
    toy_corpus, fairseq, commands, monkeypatch, tmp_path
):
    measure = fairseq_train.get_valid_stats
    monkeypatch.setattr(
        fairseq_train, "get_valid_stats", lambda *args: {**measure(*args), "ccc": math.nan}
    )
    options = f"""--modality text --target vad --criterion emotion_regression --batch-size 16
        --max-epoch 2 --data {toy_corpus} --best-checkpoint-metric ccc
        --maximize-best-checkpoint-metric --save-dir {tmp_path}"""
    said = fairseq("train", commands["train"], options).log
    assert "ccc is undefined (NaN) in the validation of epoch 1" in said
    assert "the model predicts the same value for every row" in said
    assert f"{tmp_path}: no checkpoint_best.pt was kept" in said
    assert "checkpoint_last.pt is the model after the last update, which no set has chosen" in said


@pytest.mark.parametrize(
    ("target", "metric", "change", "said"),
    [
        ("emotion", "recall_sad", {"emotion": "happy"}, "no row of valid of .* is sad"),
        ("vad", "ccc", {"arousal": 0.5}, "arousal is 0.5 in all 8 rows of valid of"),
        ("vad", "ccc_valence", {"valence": None}, "no row of valid of .* has valence"),
        ("emotion", "pearson@vad", {"arousal": 0.25}, "arousal is 0.25 in all 8 rows"),
    ],
)
def test_a_metric_that_the_valid_split_leaves_undefined_is_refused(
    target, metric, change, said, copy_toy, fairseq, commands, tmp_path
):
    def changed(split, rows):
        return [replace(row, **change) for row in rows] if split == "valid" else rows

    data = copy_toy(changed)
    beside = "--auxiliary-targets vad" if "@" in metric else ""
    loss = "--criterion emotion_regression" if target == "vad" else ""
    options = f"""--modality text --target {target} {beside} {loss} --batch-size 16 --max-epoch 1
        --data {data} --save-dir {tmp_path / "run"} --best-checkpoint-metric {metric}
        --maximize-best-checkpoint-metric"""
    with pytest.raises(UsageError, match=f"--best-checkpoint-metric {metric}: {said}"):
        fairseq("train", commands["train"], options)


@pytest.mark.parametrize("metric", ["uar", "recall_happy", "uar@speech", "loss"])
def test_a_metric_that_can_be_defined_is_not(metric, make_task, toy_corpus):
    task = make_task(toy_corpus, modality="text")
    assert undefined_because(task.task_state, task.data, metric, "valid") == ""
