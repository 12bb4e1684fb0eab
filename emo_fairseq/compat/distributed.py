"""Several ranks: started by torchrun, able to exchange objects and gradients on CPU too."""

import os
from collections.abc import Callable
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.models import distributed_fairseq_model
from fairseq.trainer import Trainer
from fairseq.utils import move_to_cpu
from torch import nn

from emo_fairseq.compat.patching import wrap

_TORCHRUN = ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK")


def launched_ranks() -> int:
    """Return the number of processes of ``torchrun``; 1 if this process was not started by it."""
    launched = all(name in os.environ for name in _TORCHRUN)
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    wrap(distributed_utils, "infer_init_method", _follow_torchrun)
    wrap(distributed_utils, "all_gather_list", _gather_any_object)
    wrap(distributed_fairseq_model, "DistributedDataParallel", _of_any_device)
    wrap(Trainer, "get_train_iterator", _keep_dummy_batch)
    wrap(Trainer, "train_step", _use_dummy_batch)


def _follow_torchrun(infer: Callable[..., None]) -> Callable[..., None]:
    """Take the number of ranks from ``torchrun``.

    fairseq reads ``--distributed-world-size`` first, whose default is the number of GPUs (and 1 for
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

    fairseq-validate gathers the logging outputs of its ranks, with predictions, through a buffer of
    ``--all-gather-list-size`` bytes on a GPU. torch's own gather has neither limit.
    """

    def all_gather_list(data: Any, group: Any = None, max_size: int = 0) -> list[Any]:
        group = distributed_utils.get_global_group() if group is None else group
        gathered = [None] * distributed_utils.get_world_size(group)
        torch.distributed.all_gather_object(gathered, move_to_cpu(data), group=group)
        return gathered

    return all_gather_list


def _of_any_device(build: Callable[..., Any]) -> Callable[..., Any]:
    """Let the default ``--ddp-backend`` work on CPU, where fairseq would name a GPU."""

    def build_wrapper(module: nn.Module, device_ids: Any, output_device: Any, **kwargs: Any) -> Any:
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            device_ids = output_device = None
        return build(module, device_ids=device_ids, output_device=output_device, **kwargs)

    return build_wrapper


_OF_TRAINING = "_dummy_batch_of_training"


def _keep_dummy_batch(get_train_iterator: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the batch that a rank trains on where the last batches do not suffice for all ranks.

    fairseq replaces it in every validation, whose batches lack the annotations of training.
    """

    def get_and_keep(self: Any, *args: Any, **kwargs: Any) -> Any:
        iterator = get_train_iterator(self, *args, **kwargs)
        setattr(self, _OF_TRAINING, self._dummy_batch)
        return iterator

    return get_and_keep


def _use_dummy_batch(train_step: Callable[..., Any]) -> Callable[..., Any]:
    """Train on the batch of training, and restore that of validation afterwards."""

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        of_validation = self._dummy_batch
        self._dummy_batch = getattr(self, _OF_TRAINING, of_validation)
        try:
            return train_step(self, *args, **kwargs)
        finally:
            setattr(self, _OF_TRAINING, self._dummy_batch)
            self._dummy_batch = of_validation

    return step
