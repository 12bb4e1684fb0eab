"""A disk that is full when a training saves, and the training after that."""

import errno
import os
import re
import shutil

import pytest
import torch

from emo_fairseq.checkpoint_files import newest_checkpoint
from emo_fairseq.errors import UsageError

TEXT = "--modality text --batch-size 8 --disable-validation --save-interval-updates 2"
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def train(fairseq, commands, toy_corpus, tmp_path):
    place = f"--data {toy_corpus} --save-dir {tmp_path / 'run'}"
    return lambda more="": fairseq("train", commands["train"], place, TEXT, "--max-update 4", more)


def test_a_checkpoint_that_cannot_be_written(train, tmp_path, monkeypatch):
    def fill(state, file):
        file.write(b"half")
        try:
            raise FULL
        finally:
            raise RuntimeError("[enforce fail at inline_container.cc:672]")

    monkeypatch.setattr(torch, "save", fill)
    message = r"run/checkpoint_1_2\.pt: the checkpoint cannot be written \(no space left on device"
    with pytest.raises(UsageError, match=message):
        train()
    left = {file.name for file in (tmp_path / "run").iterdir()}
    assert left == {"training.yaml", "environment.json"}


def test_a_training_that_wrote_no_last_one_goes_on_from_the_newest(train, tmp_path, monkeypatch):
    copy = shutil.copyfile

    def fill(source, target, **more):
        if "last" in str(target):
            raise FULL
        return copy(source, target, **more)

    monkeypatch.setattr(shutil, "copyfile", fill)
    with pytest.raises(UsageError, match=r"checkpoint_last\.pt: the checkpoint cannot be written"):
        train()
    monkeypatch.undo()
    folder = tmp_path / "run"
    records = {"training.yaml", "environment.json"}
    assert {file.name for file in folder.iterdir()} == {"checkpoint_1_2.pt", *records}
    (folder / "checkpoint9.pt").write_bytes(b"half of a file, and newer")
    (folder / "checkpoint_avg.pt").write_bytes((folder / "checkpoint_1_2.pt").read_bytes())
    log = train().log
    assert re.search(r"checkpoint_last\.pt does not exist: resuming from .*checkpoint_1_2\.pt", log)
    assert "Loaded checkpoint" in log
    assert "@ 2 updates" in log
    state = torch.load(folder / "checkpoint_last.pt", weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 4


def test_the_newest_of_a_folder(tmp_path):
    assert newest_checkpoint(tmp_path / "missing") is None
    names = ["checkpoint2.pt", "checkpoint_best.pt", "checkpoint_1_20.pt", "checkpoint.best_u_1.pt"]
    for age, name in enumerate(names):
        torch.save({}, tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    torch.save({}, tmp_path / "other.pt")
    assert newest_checkpoint(tmp_path) == tmp_path / names[0]


def test_another_scheduler_is_told(train):
    train()
    with pytest.raises(UsageError, match=r"checkpoint_last\.pt: .* another --lr-scheduler; give"):
        train("--lr-scheduler reduce_lr_on_plateau --max-update 6")
