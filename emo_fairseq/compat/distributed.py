"""Several ranks: started by torchrun or srun, able to exchange objects and gradients on CPU too."""

import logging
import os
import socket
import subprocess
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import torch
from fairseq.distributed import utils as distributed_utils
from fairseq.models import distributed_fairseq_model
from fairseq.trainer import Trainer
from fairseq.utils import move_to_cpu
from torch import nn

from emo_fairseq.compat.patching import wrap
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

_TORCHRUN = {"MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK"}
_SRUN = (
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NUM_NODES",
    "SLURM_STEP_NODELIST",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)


def is_under_torchrun() -> bool:
    """Return whether ``torchrun`` has started this process."""
    return os.environ.keys() >= _TORCHRUN


def launched_ranks() -> int:
    """Return the number of processes of ``torchrun``; 1 if this process was not started by it."""
    return int(os.environ["WORLD_SIZE"]) if is_under_torchrun() else 1


def apply() -> None:
    """Replace the functions of fairseq that this module is about."""
    wrap(distributed_utils, "infer_init_method", _follow_srun)
    wrap(distributed_utils, "infer_init_method", _follow_torchrun)
    wrap(distributed_utils, "distributed_init", _join_in_time)
    wrap(distributed_utils, "distributed_main", _explain_lost_ranks)
    wrap(distributed_utils, "all_gather_list", _gather_any_object)
    wrap(distributed_utils, "_broadcast_object_slow", _broadcast_any_object)
    wrap(distributed_fairseq_model, "DistributedDataParallel", _of_any_device)
    wrap(Trainer, "get_train_iterator", _keep_dummy_batch)
    wrap(Trainer, "train_step", _use_dummy_batch)


def _follow_torchrun(infer: Callable[..., None]) -> Callable[..., None]:
    """Take the number of ranks from ``torchrun``.

    fairseq reads ``--distributed-world-size`` first, whose default is the number of GPUs (and 1 for
    fairseq-validate), and divides by the number of GPUs.
    """

    def infer_init_method(cfg: Any, force_distributed: bool = False) -> None:
        if not is_under_torchrun() or cfg.distributed_init_method is not None or cfg.tpu:
            return infer(cfg, force_distributed)
        cfg.distributed_world_size = launched_ranks()
        if torch.cuda.is_available() or cfg.distributed_world_size == 1:
            return infer(cfg, force_distributed)
        cfg.distributed_init_method = "env://"
        cfg.distributed_rank = int(os.environ["RANK"])
        cfg.distributed_no_spawn = True
        return None

    return infer_init_method


def _follow_srun(infer: Callable[..., None]) -> Callable[..., None]:
    """Let each task of ``srun`` be a rank, which fairseq recognizes by ``--distributed-port``.

    fairseq has ``--distributed-world-size`` repeat how many there are. Where a node has one task,
    it starts a rank for each GPU of the node, which is none without GPUs.
    """

    def infer_init_method(cfg: Any, force_distributed: bool = False) -> None:
        is_step = all(name in os.environ for name in _SRUN)
        ranks, nodes = (int(os.environ[name]) if is_step else 1 for name in _SRUN[:2])
        gpus = torch.cuda.device_count()
        if ranks == 1 or cfg.distributed_init_method is not None or cfg.tpu:
            return infer(cfg, force_distributed)
        if ranks == nodes and gpus > 1:
            return infer(cfg, force_distributed)
        if cfg.distributed_port <= 0:
            logger.warning(
                "srun has started %d processes, and each trains by itself; give "
                "--distributed-port for them to be the ranks of one training",
                ranks,
            )
            return infer(cfg, force_distributed)
        cfg.distributed_init_method = f"tcp://{_first_host()}:{cfg.distributed_port}"
        cfg.distributed_world_size = ranks
        cfg.distributed_rank = int(os.environ["SLURM_PROCID"])
        cfg.device_id = int(os.environ["SLURM_LOCALID"]) % max(1, gpus)  # a task may see one alone
        cfg.distributed_no_spawn = True
        return None

    return infer_init_method


def _first_host() -> str:
    """Return the name of the first host of ``SLURM_STEP_NODELIST``, which has them as a[1-4]."""
    words = ["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[0]


def _join_in_time(init: Callable[[Any], int]) -> Callable[[Any], int]:
    """Wait for other ranks as long as ``--heartbeat-timeout`` says, if it is given.

    fairseq interrupts Python after that time, which does not end a call of torch that waits for
    another rank: for half an hour with gloo, 10 minutes with NCCL. Here the call itself ends.
    """

    def distributed_init(cfg: Any) -> int:
        options = cfg.distributed_training
        seconds = options.heartbeat_timeout
        if seconds <= 0 or cfg.common.tpu or torch.distributed.is_initialized():
            return init(cfg)
        torch.distributed.init_process_group(
            options.distributed_backend,
            options.distributed_init_method,
            timedelta(seconds=seconds),
            options.distributed_world_size,
            options.distributed_rank,
        )
        # fairseq's group of all ranks, which would not have the time of torch's own.
        group = torch.distributed.new_group(timeout=timedelta(seconds=seconds))
        distributed_utils.get_global_group._global_group = group
        options.heartbeat_timeout = -1
        rank = options.distributed_rank
        logger.info("initialized host %s as rank %d", socket.gethostname(), rank)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Distributed is already initialized")
            return init(cfg)

    return distributed_init


def _explain_lost_ranks(run: Callable[..., None]) -> Callable[..., None]:
    """Raise one sentence where another rank has ended, or cannot be reached."""

    def distributed_main(i: int, main: Any, cfg: Any, kwargs: Any) -> None:
        try:
            run(i, main, cfg, kwargs)
        except RuntimeError as error:
            if not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
                raise
            options = cfg.distributed_training
            reason = str(error).splitlines()[0].split("] ", 1)[-1].split(". ")[0]
            raise UsageError(
                f"rank {options.distributed_rank} of {options.distributed_world_size}: lost the "
                f"connection to another rank ({reason}); see the log of that one, or check the "
                "network between the hosts; the same commands continue from the last checkpoint",
                "rank-lost",
            ) from error

    return distributed_main


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


def _broadcast_any_object(_: Callable[..., Any]) -> Callable[..., Any]:
    """Let the first rank send a checkpoint to the others, without which none resumes.

    fairseq sends its values, beside the tensors, by torch.save, and torch.load refuses its own
    placeholders of tensors since it reads weights only. The sender is a rank, and no file.
    """

    def broadcast(obj: Any, src_rank: int, group: Any, dist_device: torch.device) -> Any:
        values = [obj]
        torch.distributed.broadcast_object_list(values, src_rank, group, dist_device)
        return values[0]

    return broadcast


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
