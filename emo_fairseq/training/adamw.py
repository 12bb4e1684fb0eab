"""``--optimizer emotion_adamw``: AdamW with a learning rate and weight decay per parameter.

fairseq's own optimizers have one learning rate and one weight decay for all parameters, and its
composite optimizer has a scheduler for each group.
"""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.dataclass import FairseqDataclass
from fairseq.optim import FairseqOptimizer, register_optimizer
from omegaconf import II
from torch import Tensor, nn

from emo_fairseq.errors import UsageError
from emo_fairseq.options.checking import check_ranges
from emo_fairseq.options.option import NOT_NEGATIVE, option
from emo_fairseq.training.learning_rates import (
    has_own_options,
    is_held,
    lr_scale,
    weight_decay_scale,
)

NAME = "emotion_adamw"

_FUSED_ON = {"cpu", "cuda"}  # one kernel instead of a dozen passes over all parameters
_NORM_EPS = 1e-6  # as fairseq's clipping adds to the norm


@dataclass
class EmotionAdamWConfig(FairseqDataclass):
    """The options of AdamW, under the names that they have for fairseq's adam."""

    adam_betas: Any = option((0.9, 0.999), "betas for Adam optimizer")
    adam_eps: float = option(1e-8, "epsilon for Adam optimizer", within=NOT_NEGATIVE)
    weight_decay: float = option(0.0, "weight decay", within=NOT_NEGATIVE)
    lr: list[float] = field(default=II("optimization.lr"))


@register_optimizer(NAME, dataclass=EmotionAdamWConfig)
class EmotionAdamW(FairseqOptimizer):
    """torch's AdamW with a parameter group for each learning rate and weight decay.

    Loshchilov and Hutter 2019, "Decoupled weight decay regularization". The options of a parameter
    are those of :mod:`emo_fairseq.training.learning_rates`. Each group stores the scheduled
    learning rate as ``base_lr``, and its own is ``base_lr * lr_scale``.
    """

    def __init__(self, cfg: EmotionAdamWConfig, params: Iterable[nn.Parameter]) -> None:
        super().__init__(cfg)
        check_ranges(cfg, EmotionAdamWConfig)
        params = list(params)
        self._is_fused = all(p.device.type in _FUSED_ON for p in params)
        self._grad_factor: Any = 1.0  # what the gradients are still to be multiplied by
        self._optimizer = torch.optim.AdamW(
            _groups(params, cfg.weight_decay),
            fused=self._is_fused,
            foreach=not self._is_fused,
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
        """Return False: a flat vector would have one learning rate for all parameters."""
        return False

    def get_lr(self) -> float:
        """Return the scheduled learning rate, before the scales of the groups."""
        return self.param_groups[0]["base_lr"]

    def set_lr(self, lr: float) -> None:
        """Set the scheduled learning rate; that of each group is scaled."""
        for group in self.param_groups:
            group["base_lr"] = lr
            group["lr"] = lr * group["lr_scale"]

    def multiply_grads(self, c: Any) -> None:
        """Multiply the gradients by `c`, a number or a scalar tensor, in :meth:`step`."""
        self._grad_factor = self._grad_factor * c

    def clip_grad_norm(self, max_norm: float, aggregate_norm_fn: Any = None) -> Tensor:
        """Clip the norm of all gradients in :meth:`step`; returns what it is before that.

        The fused kernel multiplies gradients while it reads them: a pass over all parameters for
        the mean over the batch, and another one for clipping, are saved.
        """
        norm: Tensor = super().clip_grad_norm(0.0, aggregate_norm_fn) * self._grad_factor
        if max_norm > 0:
            self.multiply_grads((max_norm / (norm + _NORM_EPS)).clamp(max=1.0))
        return norm

    def zero_grad(self) -> None:
        """Remove the gradients, and what they are to be multiplied by."""
        self._grad_factor = 1.0
        super().zero_grad()

    def step(self, closure: Any = None, scale: float = 1.0, groups: Any = None) -> None:
        """Update the parameters.

        Args:
            closure: that computes the loss again.
            scale: that the gradients are divided by.
            groups: not supported.
        """
        factor, self._grad_factor = self._grad_factor / scale, 1.0
        for parameter in self.params:
            if is_held(parameter):
                # With --fp16, the float32 copy of a frozen parameter has a gradient of zeros, and
                # weight decay would change it. Without a gradient it is skipped.
                parameter.grad = None
        if self._is_fused:
            # The kernel divides by it, and stores the gradients divided.
            first: Tensor = next(iter(self.params))
            one = torch.ones((), dtype=torch.float32, device=first.device)
            scale_tensor = (one / factor).to(one.dtype)  # ranks sum what it is made of as float64
            self._optimizer.grad_scale = scale_tensor  # type: ignore[attr-defined]
        elif torch.is_tensor(factor) or factor != 1.0:
            super().multiply_grads(factor)
        super().step(closure, groups=groups)

    def load_state_dict(
        self, state_dict: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None
    ) -> None:
        """Load moments and learning rate; the other options are those of this run.

        Raises:
            UsageError: the state has other parameter groups, or ``--optimizer-overrides`` has other
                options than the learning rate.
        """
        overrides = dict(optimizer_overrides or {})
        lr = overrides.pop("lr", None)
        if overrides:
            raise UsageError(
                f"--optimizer-overrides: {NAME} always takes {', '.join(overrides)} from the "
                "options of this run; set those, and override lr only",
                "optimizer-overrides",
            )
        saved, own = state_dict["param_groups"], self.param_groups
        if list(map(_outline, saved)) != list(map(_outline, own)):
            raise UsageError(
                f"the checkpoint's optimizer has {_describe(saved)}; now there are "
                f"{_describe(own)}; use the learning rates and the encoders that it was trained "
                "with, frozen as far as then, or --reset-optimizer",
                "optimizer-state-mismatch",
            )
        restored = {"params", "lr", "base_lr"}
        options = [{k: v for k, v in group.items() if k not in restored} for group in own]
        super().load_state_dict(state_dict)
        for group, own_options in zip(self.param_groups, options, strict=True):
            group.update(own_options)
        if lr is not None:
            self.set_lr(lr)


def check_optimizer(name: str, parameters: Iterable[nn.Parameter]) -> None:
    """Check that the optimizer supports the options of the parameters.

    Raises:
        UsageError: it is not ``emotion_adamw``, and a parameter has a learning rate of its own or
            is gradually unfrozen.
    """
    if name != NAME and any(map(has_own_options, parameters)):
        raise UsageError(
            f"--optimizer {name} has one learning rate for all parameters; several learning "
            f"rates and gradual unfreezing need --optimizer {NAME}",
            "optimizer-unsupported",
        )


def check_half_precision(name: str, flattens: bool, memory_efficient: bool) -> None:
    """Check that the options of half precision are supported by ``emotion_adamw``.

    Args:
        name: value of ``--optimizer``.
        flattens: whether gradients are flattened: ``--fp16`` without ``--fp16-no-flatten-grads``.
        memory_efficient: ``--memory-efficient-fp16`` or ``--memory-efficient-bf16``.

    Raises:
        UsageError: they are not; names the option to remove or to add.
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
        scales = lr_scale(parameter), weight_decay_scale(parameter)
        members.setdefault(scales, []).append(parameter)
    return [
        {"params": params, "lr_scale": scale, "weight_decay": weight_decay * decay_scale}
        for (scale, decay_scale), params in members.items()
    ]


def _betas(value: Any) -> tuple[float, float]:
    """Parse "(0.9, 0.98)" of the command line, or [0.9, 0.98] of a YAML file."""
    try:
        first, second = ast.literal_eval(value) if isinstance(value, str) else value
        betas = float(first), float(second)
    except (SyntaxError, TypeError, ValueError):
        raise UsageError(
            f"--adam-betas: {value} is not a pair of numbers", "betas-invalid"
        ) from None
    if not all(0 <= beta < 1 for beta in betas):
        raise UsageError(f"--adam-betas: {value} is not in [0, 1)", "betas-invalid")
    return betas


def _outline(group: Mapping[str, Any]) -> tuple[float | None, int]:
    # The state of another optimizer has no `lr_scale`.
    return group.get("lr_scale"), len(group["params"])


def _describe(groups: list[dict[str, Any]]) -> str:
    n_params = sum(len(group["params"]) for group in groups)
    scales = sorted({group.get("lr_scale", 1.0) for group in groups}, reverse=True)
    rates = ", ".join(f"{scale:g}" for scale in scales)
    return f"{n_params} parameters with learning rates of {rates} times --lr"
