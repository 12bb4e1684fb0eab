"""A metric that is undefined in some epoch chooses no checkpoint and unseats no best one."""

import math

import pytest
import torch
from fairseq_cli import train as fairseq_train


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
