"""The options of a run beside the task's own, and what of them a training refuses."""

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from omegaconf import OmegaConf

from emo_fairseq.tasks.run_config import RunConfig


def run_config(**sections: Any) -> RunConfig:
    return RunConfig(OmegaConf.create({"task": {"data": "x"}, **sections}).task)


def test_ranks_that_train_each_by_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process group has been made here, as none is under fairseq-hydra-train on one GPU."""
    training = run_config(optimizer={"_name": "adam"})
    training.check_ranks()
    launched = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "0"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    with raises("ranks-not-joined"):
        training.check_ranks()
    run_config().check_ranks()  # nothing is trained
    monkeypatch.setenv("WORLD_SIZE", "1")
    training.check_ranks()


def training(**sections: Any) -> RunConfig:
    dataset = {"train_subset": "train", "valid_subset": "valid", "disable_validation": False}
    checkpoint = {"restore_file": "checkpoint_last.pt", "save_dir": "nowhere"}
    return run_config(
        optimizer={"_name": "adam"},
        dataset=dataset | sections.pop("dataset", {}),
        checkpoint=checkpoint | sections.pop("checkpoint", {}),
        **sections,
    )


@pytest.mark.parametrize("subsets", ["test", "test,valid", "test2"])
def test_the_test_split_chooses_no_checkpoint(subsets: str) -> None:
    chosen = training(dataset={"valid_subset": subsets})
    with raises("valid-subset-test"):
        chosen.check_subsets("train")
    unused = training(dataset={"valid_subset": subsets, "disable_validation": True})
    unused.check_subsets("train")
    assert unused.selecting_split is None
    beside = training(dataset={"valid_subset": f"valid,{subsets}"})
    beside.check_subsets("train")
    assert beside.selecting_split == "valid", "fairseq chooses by the first"


def test_every_checkpoint_that_a_training_begins_from_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    other.touch()
    options = {"save_dir": str(tmp_path), "finetune_from_model": str(other)}
    assert training(checkpoint=options).initial_checkpoints() == {"--finetune-from-model": other}
    assert training(checkpoint={"restore_file": str(other)}).initial_checkpoints() == {
        "--restore-file": other
    }
    last = tmp_path / "checkpoint_last.pt"
    last.touch()
    assert training(checkpoint=options).initial_checkpoints() == {"--restore-file": last}
    assert run_config().initial_checkpoints() == {}


def test_a_board_whose_library_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    logged = training(common={"wandb_project": "emotions"})
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with raises("library-missing"):
        logged.check_wandb()
    training(common={"wandb_project": None}).check_wandb()
    monkeypatch.setitem(sys.modules, "wandb", object())
    logged.check_wandb()


@pytest.mark.parametrize("stores", [True, False])
def test_averages_that_nothing_reads_are_warned_of(
    stores: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first_rank = {"distributed_rank": 0}
    training(ema={"store_ema": stores}, distributed_training=first_rank).warn_of_averages()
    assert ("validation, scores and exports are of the weights" in caplog.text) is stores


def test_averages_of_a_model_that_fairseq_cannot_copy_are_refused() -> None:
    """It copies the whole model, and torch no weight that is computed from others."""
    part = torch.nn.Conv1d(2, 2, 3)
    normalized = torch.nn.Sequential(torch.nn.utils.weight_norm(part, "weight", dim=2))
    with pytest.raises(RuntimeError):
        copy.deepcopy(normalized)
    common = {"fp16": False, "memory_efficient_fp16": False, "memory_efficient_bf16": False}
    sections = {"common": common, "distributed_training": {}}
    with raises("options-conflict") as error:
        training(ema={"store_ema": True}, **sections).check_training(normalized, False)
    assert "--store-ema: fairseq cannot copy 0, whose weight" in str(error.value)
    training(ema={"store_ema": False}, **sections).check_training(normalized, False)
    linear = torch.nn.Linear(2, 2)
    training(ema={"store_ema": True}, **sections).check_training(linear, False)


def test_a_training_does_not_go_on_without_its_optimizer() -> None:
    file = Path("checkpoint_last.pt")
    plain = {"reset_optimizer": False}
    resumed = training(checkpoint=plain, optimization={"max_epoch": 3})
    resumed.check_optimizer_state(file, has_optimizer=True)
    with raises("optimizer-state-missing"):
        resumed.check_optimizer_state(file, has_optimizer=False)
    ended = training(checkpoint=plain, optimization={"max_epoch": -1})
    ended.check_optimizer_state(file, has_optimizer=False)
    anew = training(checkpoint={"reset_optimizer": True}, optimization={"max_epoch": 3})
    anew.check_optimizer_state(file, has_optimizer=False)
