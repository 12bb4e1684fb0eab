"""What of a model is trained, and at which rate: the options of tuning put into effect."""

import logging
from typing import Any

from torch import nn

from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.modules.lora import add_lora
from emo_fairseq.training.activation_checkpointing import checkpoint_activations
from emo_fairseq.training.freezing import GradualUnfreezing, freeze
from emo_fairseq.training.learning_rates import assign_learning_rates
from emo_fairseq.types import (
    FROZEN,
    FULL,
    LORA,
)

logger = logging.getLogger(__name__)


def tune(model: Any, cfg: Any) -> list[GradualUnfreezing]:
    """Freeze, adapt and set learning rates as ``--*-tuning`` and its kin ask for.

    Call it when the parameters of an earlier stage are in the model, and before the optimizer is
    built. Returns the schedules that want to know the number of updates before each of them.

    Raises:
        UsageError: options that do not go together.
    """
    for name, encoder in model.encoders.items():
        _tune_encoder(name, encoder, cfg)
    if cfg.fusion_tuning == FROZEN:
        freeze(model.fusion)
    if cfg.checkpoint_activations:
        for encoder in model.encoders.values():
            checkpoint_activations(encoder.backbone.blocks()[1:])
    schedules = _schedules(model, cfg)
    assign_learning_rates(
        {name: encoder.backbone.blocks() for name, encoder in model.encoders.items()},
        model,
        encoder_scales={n: getattr(cfg, f"{n}_lr_scale") for n in model.encoders},
        layer_decay=cfg.layer_lr_decay,
        head_scale=cfg.head_lr_scale,
    )
    return schedules


def _tune_encoder(name: str, encoder: ModalityEncoder, cfg: Any) -> None:
    tuning = str(getattr(cfg, f"{name}_tuning"))
    if tuning == FROZEN:
        encoder.freeze()
    elif tuning == LORA:
        targets = [target.strip() for target in cfg.lora_targets.split(",") if target.strip()]
        adapted = add_lora(
            encoder.backbone, targets, cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout
        )
        logger.info("%s: LoRA of rank %d in %d layers", name, cfg.lora_rank, len(adapted))
    # What stands above the chosen layer gets no gradient, for which several ranks would wait.
    acting = {p for block in encoder.blocks() for p in block.parameters()}
    for parameter in encoder.backbone.parameters():
        if parameter not in acting:
            parameter.requires_grad_(False)


def tell_what_is_trained(model: Any) -> None:
    """Say in the log how many parameters of each encoder a training will change."""
    for name, encoder in model.encoders.items():
        trained = _count(encoder, trained_only=True)
        logger.info("%s: %s of %s parameters are trained", name, trained, _count(encoder))


def _schedules(model: Any, cfg: Any) -> list[GradualUnfreezing]:
    if not cfg.unfreeze_every:
        return []
    full = [n for n in model.encoders if str(getattr(cfg, f"{n}_tuning")) == FULL]
    return [GradualUnfreezing(model.encoders[name].blocks(), cfg.unfreeze_every) for name in full]


def _count(module: nn.Module, trained_only: bool = False) -> str:
    chosen = (p for p in module.parameters() if p.requires_grad or not trained_only)
    return f"{sum(p.numel() for p in chosen):,}"
