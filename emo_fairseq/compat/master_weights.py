"""Checkpoints of half-precision trainings keep the float32 copies of the weights.

With ``--bf16`` and ``--fp16`` an optimizer updates float32 copies (Micikevicius et al. 2018, "Mixed
precision training"). fairseq's checkpoints have the half-precision weights alone: a training that
is resumed would begin with copies of these, and lose what is below their rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
from fairseq.optim import FP16Optimizer
from torch import Tensor

from emo_fairseq.compat.patching import wrap

COPIES = "fp32_params"  # key in the state of the optimizer, beside fairseq's ``loss_scale``


def apply() -> None:
    """Let the state of fairseq's half-precision optimizer have the copies."""
    wrap(FP16Optimizer, "state_dict", _with_copies)
    wrap(FP16Optimizer, "load_state_dict", _load_copies)


def _with_copies(state_dict: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    def with_copies(optimizer: FP16Optimizer) -> dict[str, Any]:
        copies = [copy.detach() for copy in _copies(optimizer)]
        return {**state_dict(optimizer), COPIES: copies}

    return with_copies


def _load_copies(load_state_dict: Callable[..., None]) -> Callable[..., None]:
    """Load the copies after the rest; a checkpoint of an older version has none.

    A weight of the model that is not its copy, rounded, has been changed in the checkpoint since,
    as by averaging checkpoints, and is trained as it is.
    """

    def load(
        optimizer: FP16Optimizer,
        state_dict: dict[str, Any],
        optimizer_overrides: dict[str, Any] | None = None,
    ) -> None:
        load_state_dict(optimizer, state_dict, optimizer_overrides)
        own, saved = _copies(optimizer), state_dict.get(COPIES, ())
        if [copy.shape for copy in own] == [copy.shape for copy in saved]:
            with torch.no_grad():
                half = optimizer.fp16_params[0].dtype
                for copy, value in zip(own, saved, strict=True):  # `copy` is what was loaded
                    value = value.to(copy)
                    copy.copy_(torch.where(value.to(half).float() == copy, value, copy))

    return load


def _copies(optimizer: FP16Optimizer) -> list[Tensor]:
    """Return one copy for each parameter, or a flat one for each device."""
    copies = optimizer.fp32_params
    return list(copies.values()) if isinstance(copies, dict) else list(copies)
