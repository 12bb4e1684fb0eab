"""fairseq's own options, checked before a training starts.

fairseq asserts some, divides by others, and ignores the rest: with a ``--restore-file`` that does
not exist it trains from the beginning, and with a negative learning rate it increases the loss.
"""

import argparse
import ast
import logging
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY
from omegaconf import OmegaConf

from emo_fairseq.checkpoint_files import LAST
from emo_fairseq.compat.checkpoints import TASK_NAME
from emo_fairseq.compat.distributed import is_under_torchrun
from emo_fairseq.compat.fully_sharded import check_fully_sharded
from emo_fairseq.errors import UsageError

logger = logging.getLogger(__name__)

DEFAULT_ARCH = "robertaEMO"
_OURS = "emo_fairseq"
_NO_FILE = "None"  # commands of BERT-like have --restore-file None, to begin afresh
_DEFAULT_LR = 0.25  # fairseq's, for SGD
_MISSING = (None, "???")

# By their names in fairseq's configuration.
_AT_LEAST = {
    "checkpoint.keep_interval_updates": -1,
    "checkpoint.save_interval": 1,
    "checkpoint.save_interval_updates": 0,
    "common.log_interval": 1,
    "common.seed": 0,
    "dataset.batch_size": 1,
    "dataset.batch_size_valid": 1,
    "dataset.max_tokens": 1,
    "dataset.max_tokens_valid": 1,
    "dataset.num_workers": 0,
    "dataset.validate_interval": 1,
    "dataset.validate_interval_updates": 0,
    "lr_scheduler.warmup_updates": 0,
    "optimization.max_update": 0,
    "optimization.update_freq": 1,
}
# Sections of the configuration, the option that names each, and names that it may have.
_PARTS = {
    "criterion": ("--criterion", "emotion_classification"),
    "optimizer": ("--optimizer", "adam", "emotion_adamw"),
    "lr_scheduler": ("--lr-scheduler", "fixed", "polynomial_decay"),
}
_LARGEST_SEED = 2**32 - 1  # numpy's


def set_default_architecture(parser: argparse.ArgumentParser, task: str | None) -> None:
    """Let ``--arch`` be :data:`DEFAULT_ARCH` for our task; without, fairseq's error is empty."""
    takes_arch = any("--arch" in action.option_strings for action in parser._actions)
    if task == TASK_NAME and takes_arch:
        parser.set_defaults(arch=DEFAULT_ARCH)


def check_parsed(args: argparse.Namespace) -> None:
    """Refuse what fairseq cannot turn into a configuration.

    Raises:
        UsageError: names the option.
    """
    scheduler = getattr(args, "lr_scheduler", None)
    if scheduler == "polynomial_decay" and getattr(args, "total_num_update", None) in _MISSING:
        raise UsageError(
            "--total-num-update is missing: --lr-scheduler polynomial_decay needs the number of "
            "updates after which the learning rate is 0; give it, such as that of --max-update",
            "option-incomplete",
        )


def check_training(cfg: Any) -> None:
    """Refuse options of fairseq-train by which it would fail late, or train something else.

    Args:
        cfg: of the whole run; that of another command or task is not checked.

    Raises:
        UsageError: names the option and the remedy.
    """
    trains = not cfg.common_eval.path
    if not trains or cfg.task is None or cfg.task.get("_name") != TASK_NAME:
        return
    _check_ranges(cfg)
    _check_parts(cfg)
    _check_learning_rate(cfg)
    _check_scheduler(cfg)
    _check_files(cfg.checkpoint)
    _check_devices(cfg)
    _check_momentum(cfg)
    check_fully_sharded(cfg)


def _check_ranges(cfg: Any) -> None:
    for path, least in _AT_LEAST.items():
        for value in _values(OmegaConf.select(cfg, path)):
            if value < least:
                option = f"--{path.rpartition('.')[2].replace('_', '-')}"
                raise UsageError(
                    f"{option} {value}: give a whole number of {least} or more",
                    "option-out-of-range",
                )
    if cfg.common.seed > _LARGEST_SEED:
        raise UsageError(
            f"--seed {cfg.common.seed}: give a number up to {_LARGEST_SEED}", "option-out-of-range"
        )


def _values(value: Any) -> Iterable[float]:
    """Return the numbers of an option: none, one, or several."""
    values = value if OmegaConf.is_list(value) else [value]
    return [number for number in values if isinstance(number, int | float)]


def _check_parts(cfg: Any) -> None:
    for section, (option, name, *others) in _PARTS.items():
        if cfg[section] is None:  # --optimizer, and in YAML any of them
            also = "".join(f", or {option} {other}" for other in others)
            raise UsageError(
                f"{option} is missing: add {option} {name}{also} (in YAML, {section}: "
                f"{{_name: {name}}})",
                "option-incomplete",
            )
    named = {"--criterion": (_name(cfg.criterion, "criterion"), CRITERION_REGISTRY)}
    if not OmegaConf.is_missing(cfg, "model"):  # without one in YAML, the task builds DEFAULT_ARCH
        named["--arch"] = (_name(cfg.model, "arch"), ARCH_MODEL_REGISTRY)
    for option, (name, registry) in named.items():
        if registry[name].__module__.startswith("fairseq."):
            ours = [n for n, kind in registry.items() if kind.__module__.startswith(_OURS)]
            raise UsageError(
                f"{option} {name}: is fairseq's own and predicts no emotions; choose one of "
                f"{', '.join(sorted(ours))}",
                "part-unsupported",
            )
    betas = OmegaConf.select(cfg, "optimizer.adam_betas")
    if betas is not None and not _are_betas(betas):
        raise UsageError(
            f"--adam-betas {betas}: give two numbers below 1, such as '(0.9, 0.98)'",
            "betas-invalid",
        )


def _name(part: Any, option: str) -> str:
    """Return the name of a part; older kinds of parts have all options of the command line."""
    return str(getattr(part, option) if isinstance(part, argparse.Namespace) else part["_name"])


def _are_betas(given: Any) -> bool:
    try:
        pair = ast.literal_eval(given) if isinstance(given, str) else tuple(given)
        return len(pair) == 2 and all(0 <= float(beta) < 1 for beta in pair)
    except (TypeError, ValueError, SyntaxError):
        return False


def _check_learning_rate(cfg: Any) -> None:
    rates = list(cfg.optimization.lr)
    for rate in rates:
        if not (math.isfinite(rate) and rate >= 0):
            raise UsageError(f"--lr {rate}: give a number above 0", "option-out-of-range")
    if rates == [_DEFAULT_LR]:
        logger.warning("--lr is %s, fairseq's default, which few models learn with", _DEFAULT_LR)


def _check_scheduler(cfg: Any) -> None:
    options, updates = cfg.lr_scheduler, int(cfg.optimization.max_update)
    name = "fixed" if options is None else _name(options, "lr_scheduler")
    warmup = _values(OmegaConf.select(cfg, "lr_scheduler.warmup_updates") or 0)
    total = updates
    if name == "cosine":
        if updates <= 0 and options.lr_period_updates <= 0:
            raise UsageError(
                "--lr-scheduler cosine: give --max-update, or --lr-period-updates, by which the "
                "learning rate falls",
                "option-incomplete",
            )
    elif name == "polynomial_decay":
        total = int(options.total_num_update)
    elif name == "inverse_sqrt" and not any(warmup):
        raise UsageError(
            "--lr-scheduler inverse_sqrt: give --warmup-updates of 1 or more", "option-incomplete"
        )
    elif name == "tri_stage":
        _check_stages(options)
    if name in ("cosine", "polynomial_decay") and max(warmup) >= total > 0:
        logger.warning(
            "--warmup-updates %d: not fewer than the %d updates of --lr-scheduler %s, so that "
            "the learning rate never falls",
            max(warmup),
            total,
            name,
        )


def _check_stages(options: Any) -> None:
    steps = options.warmup_steps + options.hold_steps + options.decay_steps
    if options.phase_ratio is None and steps <= 0:
        raise UsageError(
            "--lr-scheduler tri_stage: give --phase-ratio '(0.1, 0.4, 0.5)' with --max-update, or "
            "--warmup-steps, --hold-steps and --decay-steps",
            "option-incomplete",
        )


def _check_files(options: Any) -> None:
    given = {"--finetune-from-model": options.finetune_from_model}
    if options.restore_file not in (LAST, _NO_FILE):
        given["--restore-file"] = options.restore_file
    for option, file in given.items():
        if file and not Path(file).exists():
            raise UsageError(
                f"{option} {file}: there is no such file; check the path", "file-missing"
            )


def _check_devices(cfg: Any) -> None:
    n_gpus = 0 if cfg.common.cpu else torch.cuda.device_count()
    if cfg.common.fp16 and not n_gpus and not cfg.common.fp16_no_flatten_grads:
        raise UsageError(
            "--fp16: without a GPU add --fp16-no-flatten-grads, or use --bf16",
            "half-precision-unsupported",
        )
    ranks = cfg.distributed_training
    if 1 < ranks.distributed_world_size > n_gpus and _starts_all_ranks(ranks):
        remedy = "leave it out, or start the processes by torchrun"
        if cfg.common.cpu:  # the default is one process a GPU
            remedy = "with --cpu give 1, or start the processes by torchrun"
        given = f"--distributed-world-size {ranks.distributed_world_size}"
        raise UsageError(
            f"{given}: there are {n_gpus} GPUs that can be used here; {remedy}", "gpus-too-few"
        )


def _check_momentum(cfg: Any) -> None:
    """Refuse averages of parameters in half precision, whose small steps would be rounded off."""
    if not cfg.criterion.get("momentum_encoder"):
        return
    for option in ("fp16", "bf16", "memory_efficient_fp16", "memory_efficient_bf16"):
        if cfg.common[option]:
            raise UsageError(
                f"--momentum-encoder with --{option.replace('_', '-')}: the steps of the averages "
                f"are too small for half precision; leave out --{option.replace('_', '-')}",
                "half-precision-unsupported",
            )


def _starts_all_ranks(options: Any) -> bool:
    """Return whether fairseq starts all processes here; torchrun and Slurm start their own."""
    is_under_slurm = options.distributed_port > 0 and "SLURM_STEP_NODELIST" in os.environ
    return options.distributed_init_method is None and not (is_under_slurm or is_under_torchrun())
