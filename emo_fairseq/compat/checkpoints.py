"""Checkpoints: read without running code, named when they do not fit, written whole."""

import argparse
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils
from fairseq.file_io import PathManager
from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from emo_fairseq.checkpoint_schema import check_task_state, head_digest
from emo_fairseq.compat.excepthook import find_mistake
from emo_fairseq.compat.kept_checkpoints import select_by_defined_metrics
from emo_fairseq.compat.patching import wrap
from emo_fairseq.compat.size_limits import (
    Stored,
    check_sizes,
)
from emo_fairseq.compat.torch_files import (
    allow_classes_of_fairseq,
    check_torch_file,
    reason,
    refuse_non_finite,
)
from emo_fairseq.errors import UsageError

TASK_NAME = "emotion_prediction"
_ANOTHER = "take another checkpoint"


class LoadedState(dict[str, Any]):
    """The task's part of a checkpoint, with the number of stored weights of the model.

    Args:
        state: the task's part.
        file: the checkpoint.
        stored: the weights of the model; None if the checkpoint has only some of them.
        head: see :func:`emo_fairseq.checkpoint_schema.head_digest`.
    """

    def __init__(
        self, state: Mapping[str, Any], file: str, stored: Stored | None, head: str
    ) -> None:
        super().__init__(state)
        self.file, self.stored, self.head = file, stored, head


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    allow_classes_of_fairseq()
    wrap(checkpoint_utils, "load_checkpoint_to_cpu", _check_on_load)
    wrap(checkpoint_utils, "get_maybe_sharded_checkpoint_filename", _refuse_absent)
    wrap(Trainer, "load_checkpoint", _name_file)
    wrap(checkpoint_utils, "torch_persistent_save", _save_whole)
    wrap(PathManager, "copy", _copy_whole)
    wrap(checkpoint_utils, "save_checkpoint", select_by_defined_metrics)


def _check_on_load(load: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse an unreadable file, or one of another task."""

    def checked(path: str, arg_overrides: Any = None, **kwargs: Any) -> Any:
        if not arg_overrides or arg_overrides.get("task") != TASK_NAME:
            return _load_or_explain(load, path, arg_overrides, kwargs)
        # In an old checkpoint fairseq would overwrite the name of its task with ours.
        # Of no others it would look for each of its options in turn.
        others = {name: value for name, value in arg_overrides.items() if name != "task"}
        state = _load_or_explain(load, path, others or None, kwargs)
        _refuse_other_task(path, state)
        check_task_state(state.get("task_state", {}), path)
        state["task_state"] = _with_bounds(path, state)
        return state

    return checked


def _with_bounds(path: str, state: Any) -> LoadedState:
    """Return the task's state with the bounds of the model; refuse sizes that no model has."""
    task_state, options = state["task_state"], (state.get("cfg") or {}).get("model") or {}
    if OmegaConf.is_config(options):
        options = OmegaConf.to_container(options, enum_to_str=True)
    check_sizes(options, f"{path}: cfg.model.", _ANOTHER)
    for modality, spec in task_state["encoders"].items():
        where = f"{path}: task_state.encoders.{modality}.architecture."
        check_sizes(spec.get("architecture", {}), where, _ANOTHER)
    has_all_weights = options.get("checkpoint_weights", "all") == "all"
    stored = Stored.of(state["model"]) if has_all_weights else None
    return LoadedState(task_state, path, stored, head_digest(state["model"]))


def _load_or_explain(load: Callable[..., Any], path: str, overrides: Any, kwargs: Any) -> Any:
    check_torch_file(Path(path))
    try:
        state = load(path, overrides, **kwargs)
    except (EOFError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"{path}: cannot be read as a checkpoint ({reason(error)})", "checkpoint-unreadable"
        ) from error
    except (AttributeError, LookupError, TypeError) as error:  # a key that fairseq expects
        raise UsageError(
            f"{path}: is not what fairseq-train writes ({type(error).__name__}: "
            f"{reason(error)}); give one of its checkpoints",
            "checkpoint-unreadable",
        ) from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise UsageError(
            f"{path}: holds more than weights and plain values ({reason(error)}); "
            "a file that may run code on loading is not loaded",
            "checkpoint-unsafe",
        ) from error
    if isinstance(weights := state.get("model"), Mapping):
        refuse_non_finite(weights, path)
    return state


def _refuse_other_task(path: str, state: Any) -> None:
    config = state.get("cfg") or {}
    task = config.get("task") if config else vars(state.get("args") or argparse.Namespace())
    name = getattr(task, "_name", None) or (task or {}).get("task")
    if name != TASK_NAME:
        raise UsageError(
            f"{path}: a checkpoint of the task {name}, not of {TASK_NAME}; "
            "give one that fairseq-train wrote with --task emotion_prediction",
            "task-other",
        )


def _refuse_absent(find: Callable[..., str]) -> Callable[..., str]:
    """Refuse to score a checkpoint that does not exist."""

    def find_checkpoint(filename: str, *args: Any, **kwargs: Any) -> str:
        path = find(filename, *args, **kwargs)
        if not PathManager.exists(path):
            raise UsageError(
                f"{path}: there is no such checkpoint; see --path", "checkpoint-missing"
            )
        return path

    return find_checkpoint


def _name_file(load: Callable[..., Any]) -> Callable[..., Any]:
    """Name the checkpoint that a training cannot resume from."""

    def load_checkpoint(self: Any, filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(self, filename, *args, **kwargs)
        except (AssertionError, KeyError) as error:
            if (other := _other_part(error)) is None:
                raise
            part, reset = other
            raise UsageError(
                f"{filename}: was trained with another {part}; give the same, {reset}, or another "
                "--save-dir",
                "checkpoint-options-other",
            ) from error
        except Exception as error:
            mistake = find_mistake(error)
            if mistake is None or filename in str(mistake):
                raise
            raise UsageError(f"{filename}: {mistake}", "checkpoint-unfit") from error

    return load_checkpoint


def _other_part(error: BaseException) -> tuple[str, str] | None:
    """Return the option that differs from the checkpoint's, and the one that resets it, if any."""
    message = str(error)
    for part in ("Criterion", "Optimizer"):
        if message.startswith(f"{part} does not match"):
            # Names of fairseq's classes, of which these are around the optimizer of --optimizer.
            is_precision = "FP16Optimizer" in message or "AMPOptimizer" in message
            option = "precision (--fp16, --bf16, --amp)" if is_precision else f"--{part.lower()}"
            return option, "--reset-optimizer"
    trace = error.__traceback__
    while trace is not None:
        if "lr_scheduler" in Path(trace.tb_frame.f_code.co_filename).parts:
            return "--lr-scheduler", "--reset-lr-scheduler"
        trace = trace.tb_next
    return None


def _save_whole(save: Callable[..., None]) -> Callable[..., None]:
    """Raise a `UsageError` if a checkpoint cannot be written, and remove the unfinished file.

    fairseq tries three times, logs a traceback, and leaves the beginning of the file.
    """

    def write_and_rename(obj: Any, filename: str, async_write: bool = False) -> None:
        if async_write or not PathManager.supports_rename(filename):
            return save(obj, filename, async_write)
        with _unfinished(filename) as unfinished, unfinished.open("wb") as file:
            torch.save(obj, file)
        return None

    return write_and_rename


@contextlib.contextmanager
def _unfinished(filename: str) -> Iterator[Path]:
    """Yield a temporary name, renamed to that of the checkpoint if the block succeeds.

    Raises:
        UsageError: it cannot be written.
    """
    unfinished = Path(f"{filename}.tmp")
    try:
        yield unfinished
        unfinished.replace(filename)
    except (OSError, RuntimeError) as error:
        # torch raises its own error while it handles that of the system.
        causes = (error, error.__cause__, error.__context__)
        cause = next((cause for cause in causes if isinstance(cause, OSError)), None)
        if cause is None:
            raise
        reason = (cause.strerror or str(cause)).lower()
        raise UsageError(
            f"{filename}: the checkpoint cannot be written ({reason}); those before it are whole: "
            "make room, and run the same command again to go on from the newest",
            "checkpoint-unwritable",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _copy_whole(copy: Callable[..., Any]) -> Callable[..., Any]:
    """Replace ``checkpoint_last.pt`` atomically.

    fairseq writes a checkpoint under a temporary name and renames it, but then copies it to its
    other names: a training killed there could not be resumed.
    """

    def copy_and_rename(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
        if not (overwrite and PathManager.supports_rename(dst_path)):
            return copy(src_path, dst_path, overwrite)
        with _unfinished(dst_path) as unfinished:
            shutil.copyfile(src_path, unfinished)  # iopath's only logs errors
        return dst_path

    return copy_and_rename
