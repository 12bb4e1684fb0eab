"""Checkpoints: what loads, what is named and refused, and what is never run."""

import importlib
import io
import os
import pickle
import shutil
import subprocess
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from codes import raises
from fairseq import checkpoint_utils, tasks
from fairseq.dataclass.configs import FairseqConfig
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from emo_fairseq import compat
from emo_fairseq.compat import excepthook
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.compat.precision import apply_precision
from emo_fairseq.errors import UsageError

OURS = {"task": "emotion_prediction"}


def checkpoint_state(**changes: Any) -> dict[str, Any]:
    """What fairseq puts into a checkpoint, as far as its loader looks at it."""
    return {
        "args": None,
        "cfg": {"task": {"_name": "emotion_prediction"}, "model": {"_name": "robertaEMO"}},
        "model": OrderedDict(weight=torch.ones(2)),
        "optimizer_history": [
            {"optimizer_name": "Adam", "lr_scheduler_state": {}, "num_updates": 1}
        ],
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
        "task_state": {"labels": ["happy", "sad"], "encoders": {}},
        **changes,
    }


def load(state: Any, path: Path, overrides: Any = None) -> Any:
    torch.save(state, path)
    return checkpoint_utils.load_checkpoint_to_cpu(str(path), overrides)


def test_a_checkpoint_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint_best.pt"
    load(checkpoint_state(model={"weight": torch.ones(1000)}), file, OURS)
    content = bytearray(file.read_bytes())
    content[content.index(torch.ones(8).numpy().tobytes()) + 3] ^= 0x40  # 1.0 becomes inf
    file.write_bytes(content)
    with raises("file-damaged") as error:
        checkpoint_utils.load_checkpoint_to_cpu(str(file), OURS)
    assert "checkpoint_best/data/0" in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_checkpoint_of_a_diverged_training_is_refused(tmp_path: Path, value: float) -> None:
    model = {"head.bias": torch.ones(3), "head.weight": torch.tensor([1.0, value])}
    with raises("weights-not-finite") as error:
        load(checkpoint_state(model=model), tmp_path / "c.pt", OURS)
    assert "head.weight" in str(error.value)


class Marker:
    """Not on the list of classes that may be loaded."""


class Shell:
    """Runs a command when it is unpickled without care."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_a_checkpoint_with_a_namespace_loads(tmp_path: Path) -> None:
    args = Namespace(arch="robertaEMO", task="emotion_prediction")
    state = load(checkpoint_state(args=args, cfg=None), tmp_path / "old.pt", OURS)
    assert state["args"].arch == "robertaEMO"
    assert state["model"]["weight"].tolist() == [1.0, 1.0]


def test_a_checkpoint_of_this_task_loads(tmp_path: Path) -> None:
    state = load(checkpoint_state(), tmp_path / "ours.pt", OURS)
    assert state["cfg"]["task"]["_name"] == "emotion_prediction"


def test_an_arbitrary_class_is_refused(tmp_path: Path) -> None:
    with raises("checkpoint-unsafe"):
        load(checkpoint_state(extra=Marker()), tmp_path / "other.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, zipped: bool) -> None:
    ran, path = tmp_path / "ran", tmp_path / "evil.pt"
    state = checkpoint_state(extra=Shell(f"touch {ran}"))
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with raises("checkpoint-unsafe"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path), OURS)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Shell(f"touch {ran}")))
    assert ran.exists(), "the attack itself must work, or this test shows nothing"


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    torch.save(checkpoint_state(model={"weight": torch.zeros(10_000)}), path)
    path.write_bytes(path.read_bytes()[:20_000])
    with raises("file-damaged"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x80\x02"])
def test_no_checkpoint_at_all_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.pt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"none\.pt: "):
        checkpoint_utils.load_checkpoint_to_cpu(str(path), OURS)


def test_an_absent_checkpoint_is_named(tmp_path: Path) -> None:
    with raises("checkpoint-unreadable"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "absent.pt"), OURS)


@pytest.mark.parametrize("content", [{"encoder.weight": torch.ones(2)}, [1, 2], torch.ones(3)])
def test_weights_without_a_configuration_are_named(tmp_path: Path, content: Any) -> None:
    """As other libraries save them: such a file is no checkpoint of fairseq's."""
    with raises("checkpoint-unreadable"):
        load(content, tmp_path / "bare.pt", OURS)


@pytest.mark.parametrize(
    "state",
    [
        checkpoint_state(cfg={"task": {"_name": "translation"}}),
        checkpoint_state(cfg=None, args=Namespace(task="translation", arch="transformer")),
        checkpoint_state(cfg=None),
    ],
    ids=["config", "namespace", "neither"],
)
def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / "mt.pt")
    with raises("task-other"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "mt.pt"), dict(OURS))


def test_other_tasks_are_not_meddled_with(tmp_path: Path) -> None:
    state = checkpoint_state(cfg={"task": {"_name": "translation"}})
    assert load(state, tmp_path / "mt.pt")["cfg"]["task"]["_name"] == "translation"


def test_the_name_of_the_task_is_the_registered_one() -> None:
    task = tasks.TASK_REGISTRY[TASK_NAME]
    assert task.__module__ == "emo_fairseq.tasks.emotion_prediction"


PATCHED = (
    (checkpoint_utils, "load_checkpoint_to_cpu"),
    (checkpoint_utils, "get_maybe_sharded_checkpoint_filename"),
    (Trainer, "load_checkpoint"),
    (PathManager, "copy"),
    (distributed_utils, "infer_init_method"),
    (sys, "excepthook"),
)


def test_applying_twice_changes_nothing() -> None:
    compat.apply()
    before = [getattr(owner, name) for owner, name in PATCHED]
    compat.apply()
    importlib.reload(importlib.import_module("emo_fairseq"))
    after = [getattr(owner, name) for owner, name in PATCHED]
    assert all(a is b for a, b in zip(before, after, strict=True))


# -- copies of a checkpoint ------------------------------------------------------------------------


def test_a_copy_replaces_the_old_file(tmp_path: Path) -> None:
    new, last = tmp_path / "checkpoint1.pt", tmp_path / "checkpoint_last.pt"
    new.write_text("new")
    last.write_text("old")
    assert PathManager.copy(str(new), str(last), overwrite=True)
    assert (new.read_text(), last.read_text()) == ("new", "new")
    assert len(list(tmp_path.iterdir())) == 2


def test_an_interrupted_copy_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, last = tmp_path / "checkpoint1.pt", tmp_path / "checkpoint_last.pt"
    new.write_text("new, and long")
    last.write_text("old")

    def die_halfway(source: str, target: str, **options: Any) -> None:
        Path(target).write_text(Path(source).read_text()[:5])
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "copyfile", die_halfway)
    with pytest.raises(KeyboardInterrupt):
        PathManager.copy(str(new), str(last), overwrite=True)
    assert last.read_text() == "old"


# -- ranks -----------------------------------------------------------------------------------------


@pytest.fixture
def distributed() -> Any:
    """The options of distributed training as fairseq-train has them on a machine without a GPU."""
    config = OmegaConf.structured(FairseqConfig())
    config.distributed_training.distributed_world_size = 1
    return config.distributed_training


def test_torchrun_says_how_many_ranks_there_are(
    distributed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ranks = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "WORLD_SIZE": "2", "RANK": "1"}
    for name, value in ranks.items():
        monkeypatch.setenv(name, value)
    distributed_utils.infer_init_method(distributed)
    assert distributed.distributed_world_size == 2
    assert distributed.distributed_rank == 1
    assert distributed.distributed_init_method == "env://"
    assert distributed.distributed_no_spawn


def test_without_torchrun_there_is_one_rank(
    distributed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    distributed_utils.infer_init_method(distributed)
    assert distributed.distributed_world_size == 1
    assert distributed.distributed_init_method is None


OF_STEP = {
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "a[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a task of srun, beside a ``scontrol`` that knows the hosts."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in OF_STEP.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 0, "a1\na2\n")
    )


def test_tasks_of_srun_are_ranks(distributed: Any, step: None) -> None:
    distributed.distributed_port = 29500
    distributed_utils.infer_init_method(distributed)
    assert distributed.distributed_init_method == "tcp://a1:29500"
    assert (distributed.distributed_world_size, distributed.distributed_rank) == (4, 3)
    assert distributed.distributed_no_spawn


def test_tasks_of_srun_without_a_port_are_no_ranks(
    distributed: Any, step: None, caplog: pytest.LogCaptureFixture
) -> None:
    distributed_utils.infer_init_method(distributed)
    assert distributed.distributed_init_method is None
    assert "srun has started 4 processes, and each trains by itself" in caplog.text


def test_half_precision_is_no_tpu() -> None:
    """A TPU's ranks would not be joined here."""
    config = OmegaConf.structured(FairseqConfig())
    config.common.bf16 = config.common.tpu = config.distributed_training.tpu = True
    apply_precision(config)
    assert not config.common.tpu
    assert not config.distributed_training.tpu


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_memory_efficient_half_precision_is_half_precision(name: str) -> None:
    """In a configuration of Hydra, too, where nothing else implies it."""
    config = OmegaConf.create(OmegaConf.to_container(OmegaConf.structured(FairseqConfig())))
    config.common[f"memory_efficient_{name}"] = True
    apply_precision(config)
    assert [config.common.bf16, config.common.fp16] == [name == "bf16", name == "fp16"]
    assert config.distributed_training.fp16 == (name == "fp16")


def test_a_rank_prints_a_mistake_of_its_options(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """torch's hook of ranks collects what the hook before prints, and loses it if that raises."""
    monkeypatch.setattr(sys, "excepthook", lambda *_: None)
    excepthook.apply()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    error = UsageError("--fold: leave it out", "option-idle")
    with pytest.raises(SystemExit, match="2"):
        sys.excepthook(UsageError, error, None)
    assert capfd.readouterr().err == "error: --fold: leave it out [option-idle]\n"
