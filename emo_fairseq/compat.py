"""The only file that knows versions of fairseq, torch and numpy, and what to do about them."""

import argparse
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from emo_fairseq.errors import UsageError, find_mistake, print_mistakes_without_traceback

TASK_NAME = "emotion_prediction"
_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")


def apply() -> None:
    """Make checkpoints load safely and mistakes read well. Calling it again changes nothing."""
    _allow_checkpoint_classes()
    _check_checkpoints_on_load()
    _name_checkpoints_in_mistakes()
    _copy_checkpoints_whole()
    _take_ranks_from_torchrun()
    _gather_without_gpu()
    _log_figures_only()
    print_mistakes_without_traceback()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # or hydra prints a traceback of its own


def _allow_checkpoint_classes() -> None:
    """Name the one class that fairseq puts into checkpoints beside tensors and plain values.

    torch >= 2.6 unpickles weights only. A checkpoint from a stranger must not run code, so the
    list is extended by what cannot do harm, and `weights_only=False` is never fallen back to.
    """
    torch.serialization.add_safe_globals([argparse.Namespace])


def _check_checkpoints_on_load() -> None:
    """Wrap fairseq's loader: an unreadable file, or one of another task, is named at the door."""
    from fairseq import checkpoint_utils

    if getattr(checkpoint_utils.load_checkpoint_to_cpu, "checks_task", False):
        return
    load = checkpoint_utils.load_checkpoint_to_cpu

    @functools.wraps(load)
    def checked(path: str, arg_overrides: Any = None, **kwargs: Any) -> Any:
        if not arg_overrides or arg_overrides.get("task") != TASK_NAME:
            return _load_or_explain(load, path, arg_overrides, kwargs)
        # In an old checkpoint fairseq would write our name over that of the task it is of.
        others = {name: value for name, value in arg_overrides.items() if name != "task"}
        state = _load_or_explain(load, path, others, kwargs)
        _refuse_other_task(path, state)
        return state

    checked.checks_task = True  # type: ignore[attr-defined]
    checkpoint_utils.load_checkpoint_to_cpu = checked


def _load_or_explain(load: Callable[..., Any], path: str, overrides: Any, kwargs: Any) -> Any:
    try:
        return load(path, overrides, **kwargs)
    except (EOFError, RuntimeError, ValueError, OSError) as error:
        raise UsageError(
            f"{path}: cannot be read as a checkpoint ({_first_line(error)})"
        ) from error
    except (AttributeError, LookupError, TypeError) as error:  # fairseq misses what it wrote
        raise UsageError(
            f"{path}: is not what fairseq-train writes ({type(error).__name__}: "
            f"{_first_line(error)}); give one of its checkpoints"
        ) from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise UsageError(
            f"{path}: holds more than weights and plain values ({_first_line(error)}); "
            "a file that may run code on loading is not loaded"
        ) from error


def _refuse_other_task(path: str, state: Any) -> None:
    config = state.get("cfg") or {}
    task = config.get("task") if config else vars(state.get("args") or argparse.Namespace())
    name = getattr(task, "_name", None) or (task or {}).get("task")
    if name != TASK_NAME:
        raise UsageError(
            f"{path}: a checkpoint of the task {name}, not of {TASK_NAME}; "
            "give one that fairseq-train wrote with --task emotion_prediction"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _name_checkpoints_in_mistakes() -> None:
    """Say which file a training cannot go on from, and that one to be scored is not there."""
    from fairseq import checkpoint_utils
    from fairseq.trainer import Trainer

    if getattr(Trainer.load_checkpoint, "names_file", False):
        return
    load, find = Trainer.load_checkpoint, checkpoint_utils.get_maybe_sharded_checkpoint_filename

    @functools.wraps(load)
    def load_checkpoint(self: Any, filename: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(self, filename, *args, **kwargs)
        except Exception as error:
            mistake = find_mistake(error)
            if mistake is None or filename in str(mistake):
                raise
            raise UsageError(f"{filename}: {mistake}") from error

    @functools.wraps(find)
    def find_checkpoint(filename: str, *args: Any, **kwargs: Any) -> Any:
        found = find(filename, *args, **kwargs)
        if not checkpoint_utils.PathManager.exists(found):
            raise UsageError(f"{found}: there is no such checkpoint; see --path")
        return found

    load_checkpoint.names_file = True  # type: ignore[attr-defined]
    Trainer.load_checkpoint = load_checkpoint
    checkpoint_utils.get_maybe_sharded_checkpoint_filename = find_checkpoint


def _copy_checkpoints_whole() -> None:
    """Let `checkpoint_last.pt` be the old one or the new one, never half of it.

    fairseq writes a checkpoint beside its place and renames it, but then copies it onto its other
    names: a training killed there could not be resumed.
    """
    from fairseq.file_io import PathManager

    if getattr(PathManager.copy, "is_whole", False):
        return
    copy = PathManager.copy

    @functools.wraps(copy)
    def copy_and_rename(src_path: str, dst_path: str, overwrite: bool = False) -> Any:
        if not PathManager.supports_rename(dst_path):
            return copy(src_path, dst_path, overwrite)
        unfinished = f"{dst_path}.tmp"
        copy(src_path, unfinished, True)
        Path(unfinished).replace(dst_path)
        return dst_path

    copy_and_rename.is_whole = True  # type: ignore[attr-defined]
    PathManager.copy = staticmethod(copy_and_rename)


def _take_ranks_from_torchrun() -> None:
    """Let ``torchrun`` say how many ranks there are, on CPU too.

    fairseq asks ``--distributed-world-size`` first, whose default is the number of GPUs (and 1 for
    fairseq-validate), and divides by the number of GPUs.
    """
    from fairseq.distributed import utils as distributed_utils

    if getattr(distributed_utils.infer_init_method, "asks_torchrun", False):
        return
    infer = distributed_utils.infer_init_method

    @functools.wraps(infer)
    def infer_init_method(cfg: Any, force_distributed: bool = False) -> None:
        launched = all(name in os.environ for name in _TORCHRUN)
        if not launched or cfg.distributed_init_method is not None or cfg.tpu:
            return infer(cfg, force_distributed)
        cfg.distributed_world_size = int(os.environ["WORLD_SIZE"])
        if torch.cuda.is_available() or cfg.distributed_world_size == 1:
            return infer(cfg, force_distributed)
        cfg.distributed_init_method = "env://"
        cfg.distributed_rank = int(os.environ["RANK"])
        cfg.distributed_no_spawn = True
        return None

    infer_init_method.asks_torchrun = True  # type: ignore[attr-defined]
    distributed_utils.infer_init_method = infer_init_method


def _gather_without_gpu() -> None:
    """Let ranks exchange objects of any size, on CPU too.

    fairseq-validate gathers what its ranks logged, predictions included, through a buffer that lies
    on a GPU and holds ``--all-gather-list-size`` bytes. torch's own gather knows neither limit.
    """
    from fairseq.distributed import utils as distributed_utils
    from fairseq.utils import move_to_cpu

    def all_gather_list(data: Any, group: Any = None, max_size: int = 0) -> list[Any]:
        group = distributed_utils.get_global_group() if group is None else group
        gathered = [None] * distributed_utils.get_world_size(group)
        torch.distributed.all_gather_object(gathered, move_to_cpu(data), group=group)
        return gathered

    distributed_utils.all_gather_list = all_gather_list


def _log_figures_only() -> None:
    """Keep sums of statistics and predictions off the progress bar.

    fairseq-validate hands it whatever the criterion returned for a batch. A name that begins with
    an underscore is private in fairseq's own meters; a list is no figure.
    """
    from fairseq.logging import progress_bar

    for bar in (progress_bar.BaseProgressBar, progress_bar.JsonProgressBar):
        if not getattr(bar._format_stats, "figures_only", False):
            bar._format_stats = _of_figures(bar._format_stats)


def _of_figures(format_stats: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(format_stats)
    def format_figures(self: Any, stats: Any, **kwargs: Any) -> Any:
        hidden = {n for n, value in stats.items() if n.startswith("_") or isinstance(value, list)}
        figures = {name: value for name, value in stats.items() if name not in hidden}
        return format_stats(self, figures, **kwargs)

    format_figures.figures_only = True  # type: ignore[attr-defined]
    return format_figures
