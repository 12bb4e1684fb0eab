"""Apply the options of tuning: which parameters are trained, and at which learning rate."""

import logging

from torch import nn

from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.modality_encoder import ModalityEncoder
from emo_fairseq.models.roberta_emo import RobertaEMOModel
from emo_fairseq.modules.bulk_dropout import use_bulk_dropout
from emo_fairseq.modules.lora import add_lora
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.option_values import FROZEN, FULL, LORA
from emo_fairseq.training.activation_checkpointing import checkpoint_activations
from emo_fairseq.training.freezing import GradualUnfreezing, freeze
from emo_fairseq.training.learning_rates import assign_learning_rates

logger = logging.getLogger(__name__)


def tune(model: RobertaEMOModel, cfg: RobertaEMOConfig) -> list[GradualUnfreezing]:
    """Freeze parts of a model, add LoRA, and set the learning rates of its parameters.

    Call it when the parameters of an earlier stage are in the model, and before the optimizer is
    built.

    Returns:
        The schedules of ``--unfreeze-every``; call their ``set_num_updates`` before each update.

    Raises:
        UsageError: LoRA finds no layers of these names, or there are not so many layers to freeze.
    """
    for name, encoder in model.encoders.items():
        _tune_encoder(name, encoder, cfg)
    if cfg.fusion_tuning == FROZEN:
        freeze(model.fusion)
    if cfg.checkpoint_activations:
        for encoder in model.encoders.values():
            checkpoint_activations(encoder.backbone.blocks()[1:])
    use_bulk_dropout(model)
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
    else:
        lower = _count_frozen_layers(name, encoder, cfg)
        if tuning == LORA:
            _add_lora(name, encoder, lower or 0, cfg)
        if lower is not None:
            encoder.freeze_lower(lower)
    # Blocks above the chosen layer get no gradient, and several ranks would wait for one.
    acting = {p for block in encoder.blocks() for p in block.parameters()}
    for parameter in encoder.backbone.parameters():
        if parameter not in acting:
            parameter.requires_grad_(False)


def _count_frozen_layers(name: str, encoder: ModalityEncoder, cfg: RobertaEMOConfig) -> int | None:
    """Return how many layers are frozen below those that are trained; None = not even a front end.

    Raises:
        UsageError: there are not so many, or the encoder has no such parts.
    """
    n_layers = getattr(cfg, f"{name}_freeze_layers", 0)
    if n_layers:
        _check_freezable(name, encoder, n_layers)
        return int(n_layers)
    if name != SPEECH:
        return None
    backbone, grad_mult = encoder.backbone, cfg.speech_feature_grad_mult
    freezes = bool(cfg.speech_freeze_front_end)
    if not isinstance(backbone, StagedEncoder):
        if freezes or grad_mult is not None:
            option = "--speech-freeze-front-end" if freezes else "--speech-feature-grad-mult"
            raise UsageError(
                f"{option}: this speech encoder has no convolutions over samples; leave it out, or "
                "freeze its lowest layers with --speech-freeze-layers",
                "encoder-without-front-end",
            )
        return None
    if grad_mult is None:
        grad_mult = 1.0 if backbone.trains_front_end and not freezes else 0.0
    backbone.feature_grad_mult = grad_mult
    return 0 if grad_mult == 0 or str(cfg.speech_tuning) == LORA else None


def trains_without_front_end(model: RobertaEMOModel, cfg: RobertaEMOConfig) -> bool:
    """Return whether a pretrained speech encoder is trained in full but for its front end."""
    encoders = dict(model.encoders.items())
    if SPEECH not in encoders or str(cfg.speech_tuning) == LORA:
        return False
    encoder = encoders[SPEECH]
    assert isinstance(encoder, ModalityEncoder)
    backbone = encoder.backbone
    is_pretrained = isinstance(backbone, StagedEncoder) and not backbone.trains_front_end
    return is_pretrained and encoder.frozen_layers == 0


def _check_freezable(name: str, encoder: ModalityEncoder, n_layers: int) -> None:
    n_used = encoder.used_layers
    if n_layers >= n_used:
        raise UsageError(
            f"--{name}-freeze-layers {n_layers}: the {name} encoder is used up to layer {n_used}, "
            f"so that nothing of it would be trained; give fewer, or --{name}-tuning frozen",
            "option-out-of-range",
        )
    if len(encoder.backbone.blocks()) != encoder.backbone.n_layers + 1:
        raise UsageError(
            f"--{name}-freeze-layers {n_layers}: the layers of this {name} encoder share their "
            "weights; leave the option out",
            "layers-shared",
        )


def _add_lora(name: str, encoder: ModalityEncoder, lower: int, cfg: RobertaEMOConfig) -> None:
    """Add LoRA to the layers above those that are frozen, and freeze all other weights."""
    targets = [target.strip() for target in cfg.lora_targets.split(",") if target.strip()]
    backbone = encoder.backbone
    backbone.requires_grad_(False)
    adaptable = nn.ModuleList(backbone.blocks()[lower + 1 :]) if lower else backbone
    adapted = add_lora(
        adaptable, targets, cfg.lora_rank, cfg.lora_alpha, cfg.lora_dropout, cfg.lora_dora
    )
    logger.info("%s: LoRA of rank %d in %d layers", name, cfg.lora_rank, len(adapted))


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
