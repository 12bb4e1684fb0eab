"""``--optimizer emotion_adamw``: AdamW in which each parameter may have a learning rate of its own.

fairseq's own optimizers set one learning rate, and one weight decay, for all parameters; its
composite optimizer has a scheduler for each group of them.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II
from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.options.checking import check_ranges
from emo_fairseq.options.option import NOT_NEGATIVE, option
from emo_fairseq.training.learning_rates import (
    has_wishes,
    is_held,
    lr_scale,
    weight_decay_scale,
)

NAME = "emotion_adamw"

_FUSED_ON = {"cpu", "cuda"}  # one kernel instead of a dozen passes over all parameters


@dataclass
class EmotionAdamWConfig(FairseqDataclass):
    """The options of AdamW, under the names that they have for fairseq's adam."""

    adam_betas: Any = option((0.9, 0.999), "betas for Adam optimizer")
    adam_eps: float = option(1e-8, "epsilon for Adam optimizer", within=NOT_NEGATIVE)
    weight_decay: float = option(0.0, "weight decay", within=NOT_NEGATIVE)
    lr: list[float] = field(default=II("optimization.lr"))


@register_optimizer(NAME, dataclass=EmotionAdamWConfig)
class EmotionAdamW(FairseqOptimizer):
    """torch's AdamW (Loshchilov and Hutter 2019), with a group for each learning rate and decay.

    The options of a parameter are read from :mod:`emo_fairseq.training.learning_rates`. A group
    keeps the learning rate that is common to all as ``base_lr``, and trains at that times its
    ``lr_scale``.
    """

    def __init__(self, cfg: Any, params: Iterable[nn.Parameter]) -> None:
        super().__init__(cfg)
        check_ranges(cfg, EmotionAdamWConfig)
        params = list(params)
        fused = all(p.device.type in _FUSED_ON for p in params)
        self._optimizer = torch.optim.AdamW(
            _groups(params, cfg.weight_decay),
            fused=fused,
            foreach=not fused,
            **self.optimizer_config,
        )
        self.set_lr(self.optimizer_config["lr"])

    @property
    def optimizer_config(self) -> dict[str, Any]:
        return {
            "lr": float(self.cfg.lr[0]),
            "betas": _betas(self.cfg.adam_betas),
            "eps": self.cfg.adam_eps,
            "weight_decay": self.cfg.weight_decay,
        }

    @property
    def supports_flat_params(self) -> bool:
        """False: in one flat vector nothing could have a learning rate of its own."""
        return False

    def get_lr(self) -> float:
        """The learning rate of what asks for none of its own."""
        return self.param_groups[0]["base_lr"]

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all, each group's in its proportion."""
        for group in self.param_groups:
            group["base_lr"] = lr
            group["lr"] = lr * group["lr_scale"]

    def step(self, closure: Any = None, scale: float = 1.0, groups: Any = None) -> None:
        for parameter in self.params:
            if is_held(parameter):
                # Under --fp16 the copy of what does not train has a gradient of zeros, and would
                # go through weight decay. Without a gradient it is left alone.
                parameter.grad = None
        super().step(closure, scale=scale, groups=groups)

    def load_state_dict(
        self, state_dict: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None
    ) -> None:
        """Take over moments and learning rate; all else stays as the options of this run say.

        Raises:
            UsageError: the state is of other parameter groups, or the overrides (of
                ``--optimizer-overrides``) are of more than the learning rate.
        """
        overrides = dict(optimizer_overrides or {})
        lr = overrides.pop("lr", None)
        if overrides:
            raise UsageError(
                f"--optimizer-overrides: {NAME} takes {', '.join(overrides)} from the options of "
                "this run anyway; give those, and override lr alone",
                "optimizer-overrides",
            )
        saved, own = state_dict["param_groups"], self.param_groups
        if list(map(_outline, saved)) != list(map(_outline, own)):
            raise UsageError(
                f"the checkpoint's optimizer has {_describe(saved)}; now there are "
                f"{_describe(own)}; use the learning rates and the encoders that it was trained "
                "with, or --reset-optimizer",
                "optimizer-state-mismatch",
            )
        restored = {"params", "lr", "base_lr"}
        options = [{k: v for k, v in group.items() if k not in restored} for group in own]
        super().load_state_dict(state_dict)
        for group, ours in zip(self.param_groups, options, strict=True):
            group.update(ours)
        if lr is not None:
            self.set_lr(lr)


def check_optimizer(name: str, parameters: Iterable[nn.Parameter]) -> None:
    """Refuse an optimizer that would pass over what the parameters ask for.

    Args:
        name: what ``--optimizer`` says.
        parameters: the model's.

    Raises:
        UsageError: it is another one than this, and a parameter asks for a learning rate of its own
            or is unfrozen in the course of the training.
    """
    if name != NAME and any(map(has_wishes, parameters)):
        raise UsageError(
            f"--optimizer {name} trains all parameters alike; learning rates of their own and "
            f"gradual unfreezing need --optimizer {NAME}",
            "optimizer-unsupported",
        )


def check_half_precision(name: str, flattens: bool, memory_efficient: bool) -> None:
    """Refuse what fairseq's half-precision optimizers cannot do with this one.

    Args:
        name: what ``--optimizer`` says.
        flattens: ``--fp16`` without ``--fp16-no-flatten-grads``.
        memory_efficient: ``--memory-efficient-fp16`` or ``--memory-efficient-bf16``.

    Raises:
        UsageError: says what to leave out or to add.
    """
    if name == NAME and memory_efficient:
        raise UsageError(
            f"--optimizer {NAME} keeps float32 copies of half-precision parameters; leave out "
            "--memory-efficient-fp16 and --memory-efficient-bf16",
            "half-precision-unsupported",
        )
    if name == NAME and flattens:
        raise UsageError(
            f"--fp16 with --optimizer {NAME} needs --fp16-no-flatten-grads",
            "half-precision-unsupported",
        )


def _groups(params: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    members: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in params:
        wishes = lr_scale(parameter), weight_decay_scale(parameter)
        members.setdefault(wishes, []).append(parameter)
    return [
        {"params": params, "lr_scale": scale, "weight_decay": weight_decay * decay_scale}
        for (scale, decay_scale), params in members.items()
    ]


def _betas(given: Any) -> tuple[float, float]:
    """Of a command line's "(0.9, 0.98)", or a YAML file's [0.9, 0.98]."""
    try:
        first, second = ast.literal_eval(given) if isinstance(given, str) else given
        betas = float(first), float(second)
    except (SyntaxError, TypeError, ValueError):
        raise UsageError(f"--adam-betas: {given} is no pair of numbers", "betas-invalid") from None
    if not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"--adam-betas: {given} is not in [0, 1)", "betas-invalid")
    return betas


def _outline(group: Mapping[str, Any]) -> tuple[float | None, int]:
    # A group of no learning rate of its own may be another optimizer's.
    return group.get("lr_scale"), len(group["params"])


def _describe(groups: list[dict[str, Any]]) -> str:
    n_params = sum(len(group["params"]) for group in groups)
    scales = sorted({group.get("lr_scale", 1.0) for group in groups}, reverse=True)
    return f"{n_params} parameters that learn at {', '.join(f'{s:g}' for s in scales)} times --lr"
