"""``--ddp-backend fully_sharded`` by PyTorch instead of fairscale, which is no longer maintained.

See :mod:`emo_fairseq.compat.sharded_trainer`, which is imported where the option is given.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from fairseq.trainer import Trainer
from omegaconf import OmegaConf

from emo_fairseq.compat.patching import wrap_in_training
from emo_fairseq.errors import UsageError

BACKEND = "fully_sharded"
_OF_ONE_RANK = "pytorch_ddp"  # which has nothing to share


def apply() -> None:
    """Replace what this module is about in fairseq-train."""
    wrap_in_training("Trainer", _choose_trainer)
    wrap_in_training("fsdp_enable_wrap", _enable_nothing)
    wrap_in_training("fsdp_wrap", _wrap_nothing)


def _enable_nothing(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda cfg: contextlib.nullcontext()


def _wrap_nothing(_: Callable[..., Any]) -> Callable[..., Any]:
    return lambda model, **options: model


def _choose_trainer(trainer: Callable[..., Trainer]) -> Callable[..., Trainer]:
    def build(cfg: Any, *args: Any, **kwargs: Any) -> Trainer:
        parallel = cfg.distributed_training
        if parallel.ddp_backend == BACKEND and parallel.distributed_world_size == 1:
            parallel.ddp_backend = _OF_ONE_RANK
        if parallel.ddp_backend != BACKEND:
            return trainer(cfg, *args, **kwargs)
        from emo_fairseq.compat.sharded_trainer import FullyShardedTrainer

        return FullyShardedTrainer(cfg, *args, **kwargs)

    return build


def check_fully_sharded(cfg: Any) -> None:
    """Refuse options of fairseq-train that cannot be combined with full sharding.

    Raises:
        UsageError: names the option and the remedy.
    """
    if cfg.distributed_training.ddp_backend != BACKEND:
        return
    parallel = cfg.distributed_training
    order = OmegaConf.select(cfg, "task.curriculum_order")
    refused = {
        "--fp16": (cfg.common.fp16, "use --bf16, which computes in bfloat16 on float32 shards"),
        "--memory-efficient-bf16": (cfg.common.memory_efficient_bf16, "use --bf16"),
        "--store-ema": (cfg.ema.store_ema, "leave it out, or use another backend"),
        "--cpu-offload": (parallel.cpu_offload, "leave it out"),
        "--use-sharded-state": (
            parallel.use_sharded_state,
            "leave it out: a checkpoint holds the whole model",
        ),
        "--curriculum-order model_confidence": (
            str(order) == "model_confidence",
            "choose another order: each rank would predict other rows, with layers of all",
        ),
        "--momentum-encoder": (
            bool(OmegaConf.select(cfg, "criterion.momentum_encoder")),
            "use another backend: its averages are of whole parameters",
        ),
        "--zero-sharding os": (
            parallel.zero_sharding == "os",
            "leave it out: the state of the optimizer is sharded already",
        ),
    }
    for option, (is_given, remedy) in refused.items():
        if is_given:
            raise UsageError(
                f"{option}: cannot be combined with --ddp-backend {BACKEND}; {remedy}",
                "sharding-unsupported",
            )
