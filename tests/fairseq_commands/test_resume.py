"""A training that a signal has ended goes on as if nothing had happened, by the same command."""

import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from extended import all_but
from fairseq.file_io import PathManager
from fairseq_process import Finished

from emo_fairseq.errors import UsageError

# 32 utterances in batches of 4 are 8 updates an epoch: the third checkpoint lies within the second.
COMMAND = """--modality text --batch-size 4 --seed 5
    --max-update 45 --save-interval-updates 3 --keep-interval-updates 2
    --lr-scheduler polynomial_decay --warmup-updates 10 --total-num-update 45
    --best-checkpoint-metric uar --maximize-best-checkpoint-metric"""
N_UPDATES, KILLED_AFTER = 45, 9


def test_kill_and_run_again(fairseq_process, run_here, commands, toy_corpus, tmp_path):
    train = [commands["train"], f"--data {toy_corpus}", COMMAND]
    first = fairseq_process("train", *train, "--save-dir resumed")
    saved = f"Saved checkpoint resumed/checkpoint_2_{KILLED_AFTER}.pt"
    wait_until(lambda: saved in first.log or not first.alive)
    first.kill()
    killed = first.wait()
    assert killed.code == -signal.SIGKILL, killed.errors[-2000:]
    assert last_update(killed) < N_UPDATES

    resumed = fairseq_process("train", *train, "--save-dir resumed")
    wait_until(lambda: "| INFO | train_inner |" in resumed.log or not resumed.alive)
    resumed.signal(signal.SIGUSR1)
    stopped = resumed.wait()
    assert stopped.code == 128 + signal.SIGUSR1, stopped.errors[-2000:]
    start = loaded_update(stopped)
    assert start >= KILLED_AFTER
    (update,) = re.findall(r"SIGUSR1: training stopped after update (\d+); resumed/", stopped.log)
    assert last_update(stopped) == int(update) < N_UPDATES

    last = run_here("train", *train, "--save-dir resumed")
    assert last.code == 0, last.errors[-2000:]
    assert loaded_update(last) == int(update)
    whole = run_here("train", *train, "--save-dir whole")
    assert whole.code == 0, whole.errors[-2000:]
    assert_same_checkpoint(tmp_path / "whole", tmp_path / "resumed")
    assert_same_course(whole, Finished(0, stopped.log + last.log, ""), start)


@pytest.mark.parametrize("optimizer", all_but({"emotion_adamw"}, ["adam", "emotion_adamw"]))
def test_half_precision_goes_on_with_its_float32_weights(
    optimizer, fairseq, toy_corpus, commands, tmp_path
):
    """Those of half precision, which the checkpoint has, too, are rounded."""
    words = [commands["train"].replace("--optimizer adam", f"--optimizer {optimizer}")]
    words += [f"--data {toy_corpus} --modality text --batch-size 8 --bf16 --disable-validation"]
    fairseq("train", *words, f"--save-dir {tmp_path / 'whole'} --max-update 6")
    fairseq("train", *words, f"--save-dir {tmp_path / 'resumed'} --max-update 3")
    fairseq("train", *words, f"--save-dir {tmp_path / 'resumed'} --max-update 6")
    one, two = (torch.load(tmp_path / name / "checkpoint_last.pt") for name in ("whole", "resumed"))
    assert all(torch.equal(one["model"][key], two["model"][key]) for key in one["model"])
    copies = [state["last_optimizer_state"]["fp32_params"] for state in (one, two)]
    assert all(map(torch.equal, *copies))
    assert any(not torch.equal(copy, copy.bfloat16().float()) for copy in copies[0])
    single = [word.replace("--bf16", "") for word in words]
    with pytest.raises(UsageError, match=r"another precision \(--fp16, --bf16, --amp\)"):
        fairseq("train", *single, f"--save-dir {tmp_path / 'resumed'} --max-update 8")


def loaded_update(finished):
    (update,) = re.findall(
        r"Loaded checkpoint resumed/checkpoint_last.pt \(epoch \d+ @ (\d+)", finished.log
    )
    return int(update)


def wait_until(holds, patience=60.0):
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "nothing to be seen of the checkpoint"
        time.sleep(0.005)


def last_update(finished):
    return max(int(line["num_updates"]) for line in finished.all_figures("train_inner"))


def assert_same_checkpoint(one, two):
    """Every parameter, the optimizer's averages, the learning rate and the place in the data."""
    for name in ("checkpoint_last.pt", "checkpoint_best.pt"):
        a, b = (torch.load(folder / name, weights_only=True) for folder in (one, two))
        assert a["model"].keys() == b["model"].keys()
        assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
        averages = [state["last_optimizer_state"]["state"] for state in (a, b)]
        assert averages[0].keys() == averages[1].keys()
        for number, of_one in averages[0].items():
            of_two = averages[1][number]
            assert of_one["step"] == of_two["step"]
            assert torch.equal(of_one["exp_avg"], of_two["exp_avg"])
            assert torch.equal(of_one["exp_avg_sq"], of_two["exp_avg_sq"])
        assert a["optimizer_history"][-1] == b["optimizer_history"][-1]
        assert a["extra_state"]["best"] == b["extra_state"]["best"]
        assert a["extra_state"]["val_loss"] == b["extra_state"]["val_loss"]
        assert a["extra_state"]["train_iterator"] == b["extra_state"]["train_iterator"]


def assert_same_course(whole, resumed, start):
    """What both logged of the updates after `start`: loss, learning rate, validation."""
    for tag, compared in (
        ("train_inner", ("loss", "lr", "gnorm")),
        ("valid", ("loss", "uar", "wa")),
    ):
        course = [
            {
                line["num_updates"]: [line[name] for name in compared]
                for line in run.all_figures(tag)
                if line["num_updates"] > start
            }
            for run in (whole, resumed)
        ]
        assert len(course[0]) > 10
        assert course[0] == course[1]
    rates = [line["lr"] for line in resumed.all_figures("train_inner")]
    assert len(set(rates)) > 10


def test_a_copy_cut_short_leaves_the_old_checkpoint(monkeypatch, tmp_path):
    def copy_half(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:2])
        raise KeyboardInterrupt

    best, last = tmp_path / "checkpoint_best.pt", tmp_path / "checkpoint_last.pt"
    best.write_bytes(b"new")
    last.write_bytes(b"old")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", copy_half)
        with pytest.raises(KeyboardInterrupt):
            PathManager.copy(str(best), str(last), overwrite=True)
    assert last.read_bytes() == b"old"
    assert PathManager.copy(str(best), str(last), overwrite=True)
    assert last.read_bytes() == b"new"


def test_a_training_without_its_optimizer_does_not_go_on(fairseq, commands, toy_corpus, tmp_path):
    place = f"--data {toy_corpus} --save-dir {tmp_path} --modality text --batch-size 16"
    words = [commands["train"], place, "--no-save-optimizer-state"]
    fairseq("train", *words, "--max-epoch 1 --disable-validation")
    with pytest.raises(UsageError, match=r"checkpoint_last.pt: was saved with --no-save-optimizer"):
        fairseq("train", *words, "--max-epoch 2 --disable-validation")
    reset = "--reset-optimizer --reset-lr-scheduler --reset-dataloader"
    fairseq("train", *words, f"--max-epoch 1 --disable-validation {reset}")
