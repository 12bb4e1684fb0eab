"""What a task reads of the options round its own."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from emo_fairseq.errors import UsageError
from emo_fairseq.tasks.surroundings import Surroundings


def surroundings(**sections: Any) -> Surroundings:
    return Surroundings(OmegaConf.create({"task": {"data": "x"}, **sections}).task)


def test_ranks_that_train_each_by_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process group has been made here, as none is under fairseq-hydra-train on one GPU."""
    training = surroundings(optimizer={"_name": "adam"})
    training.check_ranks()
    launched = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "WORLD_SIZE": "2", "RANK": "0"}
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=r"torchrun has started 2 .*distributed_world_size=2"):
        training.check_ranks()
    surroundings().check_ranks()  # nothing is trained
    monkeypatch.setenv("WORLD_SIZE", "1")
    training.check_ranks()
