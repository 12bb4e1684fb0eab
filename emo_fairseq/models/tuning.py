"""Apply the options of tuning: which parameters are trained, and at which learning rate."""

import logging

from torch import nn

from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.encoders import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
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


def tune(model: RobertaEMOModel, cfg: RobertaEMOConfig) -> list[GradualUnfreezing]:
    """Freeze parts of a model, add LoRA, and set the learning rates of its parameters.

    Call it when the parameters of an earlier stage are in the model, and before the optimizer is
    built.

    Args:
        model: is changed in place.
        cfg: options of the model, filled in.

    Returns:
        The schedules of ``--unfreeze-every``; call their ``set_num_updates`` before each update.

    Raises:
        UsageError: LoRA finds no layers of these names.
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


def _tune_encoder(name: str, encoder: ModalityEncoder, cfg: RobertaEMOConfig) -> None:
    tuning = str(getattr(cfg, f"{name}_tuning"))
    if tuning == FROZEN:
        encoder.freeze()
    elif tuning == LORA:
        targets = [target.strip() for target in cfg.lora_targets.split(",") if target.strip()]
        adapted = add_lora(
            encoder.backbone, targets, cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout
        )
        logger.info("%s: LoRA of rank %d in %d layers", name, cfg.lora_rank, len(adapted))
    # Blocks above the chosen layer get no gradient, and several ranks would wait for one.
    acting = {p for block in encoder.blocks() for p in block.parameters()}
    for parameter in encoder.backbone.parameters():
        if parameter not in acting:
            parameter.requires_grad_(False)


def log_trained_parameters(model: RobertaEMOModel) -> None:
    """Log how many parameters of each encoder are trained."""
    for name, encoder in model.encoders.items():
        trained = _count(encoder, trained_only=True)
        logger.info("%s: %s of %s parameters are trained", name, trained, _count(encoder))


def _schedules(model: RobertaEMOModel, cfg: RobertaEMOConfig) -> list[GradualUnfreezing]:
    if not cfg.unfreeze_every:
        return []
    full = [n for n in model.encoders if str(getattr(cfg, f"{n}_tuning")) == FULL]
    return [GradualUnfreezing(model.encoders[name].blocks(), cfg.unfreeze_every) for name in full]


def _count(module: nn.Module, trained_only: bool = False) -> str:
    chosen = (p for p in module.parameters() if p.requires_grad or not trained_only)
    return f"{sum(p.numel() for p in chosen):,}"
