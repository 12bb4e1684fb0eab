"""Several ranks: started by torchrun, and able to exchange objects, on CPU too."""

import os
from collections.abc import Callable
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.utils import move_to_cpu

from emo_fairseq.compat.patching import wrap

_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")


def apply() -> None:
    """Apply all that this module says."""
    wrap(distributed_utils, "infer_init_method", _ask_torchrun)
    wrap(distributed_utils, "all_gather_list", _gather_any_object)


def _ask_torchrun(infer: Callable[..., None]) -> Callable[..., None]:
    """Let ``torchrun`` say how many ranks there are.

    fairseq asks ``--distributed-world-size`` first, whose default is the number of GPUs (and 1 for
    fairseq-validate), and divides by the number of GPUs.
    """

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

    return infer_init_method


def _gather_any_object(_: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Let ranks exchange objects of any size.

    fairseq-validate gathers what its ranks logged, predictions included, through a buffer that lies
    on a GPU and holds ``--all-gather-list-size`` bytes. torch's own gather knows neither limit.
    """

    def all_gather_list(data: Any, group: Any = None, max_size: int = 0) -> list[Any]:
        group = distributed_utils.get_global_group() if group is None else group
        gathered = [None] * distributed_utils.get_world_size(group)
        torch.distributed.all_gather_object(gathered, move_to_cpu(data), group=group)
        return gathered

    return all_gather_list
