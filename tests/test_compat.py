"""What loads, what is refused without running it, and how mistakes read on the command line."""

import importlib
import io
import os
import pickle
import subprocess
import sys
from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from fairseq import checkpoint_utils, tasks

from data_prep.schema import ManifestError
from emo_fairseq import compat
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
        **changes,
    }


def load(state: Any, path: Path, overrides: Any = None) -> Any:
    torch.save(state, path)
    return checkpoint_utils.load_checkpoint_to_cpu(str(path), overrides)


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
    with pytest.raises(UsageError, match=r"other\.pt: .*; a file that may run code .* not loaded"):
        load(checkpoint_state(extra=Marker()), tmp_path / "other.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path: Path, zipped: bool) -> None:
    ran, path = tmp_path / "ran", tmp_path / "evil.pt"
    state = checkpoint_state(extra=Shell(f"touch {ran}"))
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UsageError, match=r"evil\.pt: .* may run code on loading is not loaded"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path), OURS)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Shell(f"touch {ran}")))
    assert ran.exists(), "the attack itself must work, or this test shows nothing"


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    torch.save(checkpoint_state(model={"weight": torch.zeros(10_000)}), path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(UsageError, match=r"cut\.pt: cannot be read as a checkpoint"):
        checkpoint_utils.load_checkpoint_to_cpu(str(path))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\x80\x02"])
def test_no_checkpoint_at_all_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none.pt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"none\.pt: "):
        checkpoint_utils.load_checkpoint_to_cpu(str(path), OURS)


def test_an_absent_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.pt: .*No such file"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "absent.pt"), OURS)


@pytest.mark.parametrize("content", [{"encoder.weight": torch.ones(2)}, [1, 2], torch.ones(3)])
def test_weights_without_a_configuration_are_named(tmp_path: Path, content: Any) -> None:
    """As other libraries save them: such a file is no checkpoint of fairseq's."""
    with pytest.raises(UsageError, match=r"bare\.pt: (is not what fairseq-train|cannot be read)"):
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
    with pytest.raises(UsageError, match=r"mt\.pt: a checkpoint of the task (translation|None)"):
        checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "mt.pt"), dict(OURS))


def test_other_tasks_are_not_meddled_with(tmp_path: Path) -> None:
    state = checkpoint_state(cfg={"task": {"_name": "translation"}})
    assert load(state, tmp_path / "mt.pt")["cfg"]["task"]["_name"] == "translation"


def test_the_name_of_the_task_is_the_registered_one() -> None:
    task = tasks.TASK_REGISTRY[compat.TASK_NAME]
    assert task.__module__ == "emo_fairseq.tasks.emotion_prediction"


def test_applying_twice_changes_nothing(tmp_path: Path) -> None:
    compat.apply()
    loader, hook = checkpoint_utils.load_checkpoint_to_cpu, sys.excepthook
    compat.apply()
    importlib.import_module("emo_fairseq")
    assert checkpoint_utils.load_checkpoint_to_cpu is loader
    assert sys.excepthook is hook


# -- the hook --------------------------------------------------------------------------------------


class Failing(torch.utils.data.Dataset):
    """Fails in a worker of a data loader, as a broken audio file does."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise self.error


def hooked(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[type]]:
    """What the hook prints for an error, and which errors it hands on."""
    handed_on: list[type] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *rest: handed_on.append(kind))
    compat.apply()
    printed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", printed)
    sys.excepthook(type(error), error, error.__traceback__)
    return printed.getvalue(), handed_on


@pytest.mark.parametrize("kind", [UsageError, ManifestError])
def test_a_mistake_is_one_sentence(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, handed_on = hooked(kind("train.tsv: row 3: no id; give one"), monkeypatch)
    assert printed == "error: train.tsv: row 3: no id; give one\n"
    assert not handed_on


def test_a_mistake_behind_fairseqs_own_error_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """fairseq replaces an error while it loads parameters by a bare Exception."""
    replacement = Exception("Cannot load model parameters")
    replacement.__context__ = UsageError("the checkpoint does not fit the model")
    printed, _ = hooked(replacement, monkeypatch)
    assert printed == "error: the checkpoint does not fit the model\n"


@pytest.mark.parametrize("kind", [UsageError, ManifestError])
def test_a_mistake_in_a_worker_is_one_sentence(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loader = torch.utils.data.DataLoader(Failing(kind("a.wav: cut short; drop it")), num_workers=1)
    with pytest.raises(kind, match=r"(?s)Traceback.*a\.wav: cut short") as caught:
        next(iter(loader))
    printed, _ = hooked(caught.value, monkeypatch)
    assert printed == "error: a.wav: cut short; drop it\n"


def test_any_other_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    printed, handed_on = hooked(KeyError("a bug"), monkeypatch)
    assert printed == ""
    assert handed_on == [KeyError]


def test_the_switch_brings_the_traceback_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMO_FAIRSEQ_TRACEBACK", "1")
    printed, handed_on = hooked(UsageError("no such folder"), monkeypatch)
    assert printed == ""
    assert handed_on == [UsageError]


def test_a_process_that_dies_of_a_mistake_says_one_sentence_and_fails() -> None:
    code = "import emo_fairseq; raise emo_fairseq.errors.UsageError('no such folder')"
    silent = {k: v for k, v in os.environ.items() if k != "EMO_FAIRSEQ_TRACEBACK"}
    command = [sys.executable, "-W", "ignore", "-c", code]
    died = subprocess.run(command, env=silent, capture_output=True, text=True, check=False)
    assert died.returncode == 1
    assert died.stderr.splitlines()[-1] == "error: no such folder"
    assert "Traceback" not in died.stderr
