"""The options of the architecture ``robertaEMO``, each with its rule.

A size that is None is filled in by the architecture; see :mod:`emo_fairseq.models.architectures`.
"""

from dataclasses import dataclass
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.modalities import LOG_MEL, SPEECH, TEXT, VIDEO, WAVEFORM
from emo_fairseq.models.dialogue_encoders import DialogueEncoderConfig
from emo_fairseq.models.fusions import BY_ARCHITECTURE, FusionConfig, fusion_of
from emo_fairseq.modules.heads import ACTIVATIONS, TANH
from emo_fairseq.modules.pooling import FIXED_POOLINGS
from emo_fairseq.option_values import CONCAT, CROSS_ATTENTION, FROZEN, FULL, LORA, TUNINGS
from emo_fairseq.options.conditions import (
    HAS_LORA,
    KEEPS_OUTPUTS,
    Condition,
    OptionContext,
    is_read,
)
from emo_fairseq.options.option import (
    LAYERS,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    WIDTH,
    WIDTH_OR_0,
    Range,
    option,
)

LINEAR = "linear"  # --head, beside TANH

_LAYER_HELP = (
    "layer whose output is used, of the encoder or of features of all layers: last, a number, mean "
    "(of all), weighted (a learned mean), or concat (all side by side) (default: last)"
)
_FROZEN_POOLING_HELP = (
    "pool the frames of each layer of a frozen {} encoder before they are stored, without weights: "
    "their mean, or mean_std, with their standard deviation (default: store the frames)"
)
_DROPOUT_HELP = "every dropout rate within a pretrained {} encoder (default: its own)"
_TUNING_HELP = (
    "full: train the encoder; lora: train small updates of it; frozen: keep it (default: full)"
)
_WIDTH_HELP = (
    "width of a {} encoder from scratch, or on features; 0: features or log-mel frames as they "
    "are, without an encoder" + BY_ARCHITECTURE
)
_FFN_HELP = "width of the feed-forward layers of that {} encoder" + BY_ARCHITECTURE
_HEADS_HELP = "attention heads of that {} encoder" + BY_ARCHITECTURE
_FREEZE_LAYERS_HELP = (
    "freeze the lowest layers of the {} encoder, so many, and all that is below them: they are not "
    "trained, and have no dropout"
)
_LR_HELP = "learning rate of the {} encoder, as a multiple of --lr"


# -- when options act ------------------------------------------------------------------------------


def _size_of(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of a size; legacy commands carry those of unread modalities, too."""
    return (
        is_read(modality, only_warns=True),
        Condition(
            lambda context: not context.encoders[modality].is_pretrained,
            f"--{modality}-encoder is pretrained and has its own sizes",
        ),
    )


def _has_width(modality: str) -> Condition:
    """Return the condition of what frames that are taken as they are do not have."""

    def holds(context: OptionContext) -> bool:
        width = getattr(context.model, f"{modality}_embed_dim", None)
        return width != 0 or getattr(context.model, f"{modality}_encoder_layers", None) == 0

    reason = f"--{modality}-embed-dim 0 takes frames as they are, without an encoder"
    return Condition(holds, reason, needs="model")


def _size_within(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of a size within an encoder."""
    return (*_size_of(modality), _has_width(modality))


def _size_of_layers(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of a size of layers, which features have only if they are given."""
    reason = f"the {modality} encoder has no layers, unlike with --{modality}-encoder-layers 1"
    has_layers = Condition(lambda context: _has_layers(context, modality), reason, needs="model")
    return (*_size_within(modality), has_layers)


def _has_layers(context: OptionContext, modality: str) -> bool:
    """Return whether an encoder that is not pretrained has transformer layers."""
    n_layers = getattr(context.model, f"{modality}_encoder_layers", None)
    if getattr(context.model, f"{modality}_embed_dim", None) == 0:
        return False  # frames as they are
    if n_layers is None:
        return context.is_built_here(modality, "scratch")
    return n_layers > 0 and context.is_built_here(modality)


def _choice_of_layers(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of a choice of layers, which features of one layer do not offer."""
    has_several = Condition(
        lambda context: (
            context.encoders[modality].kind != "features"
            or context.encoders[modality].stored_layers > 1
            or _has_layers(context, modality)
        ),
        f"the {modality} features hold one layer (extract them with --layer all)",
        needs="model",
        only_warns=True,
    )
    return is_read(modality), has_several


def _is_trained(modality: str) -> Condition:
    return Condition(
        lambda context: context.tuning(modality) != FROZEN,
        f"the {modality} encoder is frozen",
        needs="model",
    )


def _stores_all_of(modality: str) -> tuple[Condition, ...]:
    """Return the conditions of what is done with the outputs of a whole, frozen encoder."""
    is_frozen = Condition(
        lambda context: (
            context.encoders[modality].is_pretrained and context.tuning(modality) == FROZEN
        ),
        f"the {modality} encoder is not pretrained and frozen (--{modality}-tuning frozen)",
        needs="model",
    )
    return is_read(modality), is_frozen


def _learning_rate_of(modality: str) -> tuple[Condition, ...]:
    return is_read(modality), _is_trained(modality)


def _dropout_of_pretrained(modality: str) -> tuple[Condition, ...]:
    return (
        is_read(modality),
        Condition(
            lambda context: not context.is_built_here(modality),
            f"the {modality} encoder is not pretrained (see --dropout)",
        ),
        _is_trained(modality),
    )


_SPEECH_FROM_SCRATCH = Condition(
    lambda context: not context.reads(SPEECH) or context.is_built_here(SPEECH, "scratch"),
    "the speech encoder is not from scratch",
)
_CONVOLVES_WAVEFORMS = Condition(
    lambda context: context.reads(SPEECH, WAVEFORM),
    "no encoder from scratch reads waveforms",
    only_warns=True,
)
_CONVOLVES_LOG_MEL = Condition(
    lambda context: context.reads(SPEECH, LOG_MEL),
    "no encoder from scratch reads log-mel frames",
    only_warns=True,
)
_IN_FULL = Condition(
    lambda context: context.tuning(SPEECH) == FULL,
    "--speech-tuning is not full, so that no convolution is trained",
    needs="model",
)
_READS_WAVEFORMS = Condition(
    lambda context: context.reads(SPEECH, WAVEFORM), "no encoder reads waveforms"
)
_NO_GRADIENT_BELOW = Condition(
    lambda context: not context.model.speech_feature_grad_mult,
    "--speech-feature-grad-mult trains what it freezes",
    needs="model",
)
_TRAINS_FROM_BOTTOM = Condition(
    lambda context: not context.model.speech_freeze_layers,
    "--speech-freeze-layers freezes the front end, too",
    needs="model",
)
_TRAINS_AN_ENCODER = Condition(
    lambda context: context.tunes(FULL, LORA), "every encoder is frozen", needs="model"
)
_FREEZES_AN_ENCODER = Condition(
    lambda context: context.tunes(FROZEN), "no encoder is frozen", needs="model"
)
_IS_NO_PROBE = Condition(
    lambda context: not context.task.probe, "--probe standardizes its vectors by itself"
)
_TRAINS_ONE_IN_FULL = Condition(
    lambda context: context.tunes(FULL), "no encoder has full tuning", needs="model"
)
_KEEPS_PRETRAINED = Condition(
    lambda context: any(
        spec.is_pretrained and context.tuning(name) != FULL
        for name, spec in context.encoders.items()
    ),
    "no pretrained encoder is frozen or has LoRA, so that nothing can be left out",
    needs="model",
)
_HAS_DROPOUT = Condition(
    lambda context: (
        any(map(context.is_built_here, context.encoders)) or fusion_of(context) != CONCAT
    ),
    "every encoder is pretrained, and --fusion concat has no dropout",
    needs="model",
)
_HAS_ATTENTION = Condition(
    lambda context: (
        any(_has_layers(context, name) for name in context.encoders)
        or fusion_of(context) == CROSS_ATTENTION
    ),
    "no encoder that is not pretrained has layers, and there is no cross-attention",
    needs="model",
)
_HAS_TANH_HEAD = Condition(
    lambda context: str(context.model.head) == TANH,
    "--head linear takes the pooled vectors themselves",
    needs="model",
)
_HAS_MODALITIES = Condition(lambda context: len(context.encoders) > 1, "there is one modality only")


# -- the options -----------------------------------------------------------------------------------


@dataclass
class SizeConfig(FairseqDataclass):
    """Sizes of encoders from scratch or on features, and of the embedding."""

    text_encoder_layers: Optional[int] = option(
        None,
        "layers of a text encoder from scratch, or on features (default there: 0)"
        + BY_ARCHITECTURE,
        within=LAYERS,
        acts=_size_within(TEXT),
    )
    text_embed_dim: Optional[int] = option(
        None, _WIDTH_HELP.format(TEXT), within=WIDTH_OR_0, acts=_size_of(TEXT)
    )
    text_ffn_embed_dim: Optional[int] = option(
        None, _FFN_HELP.format(TEXT), within=WIDTH, acts=_size_of_layers(TEXT)
    )
    text_attention_heads: Optional[int] = option(
        None, _HEADS_HELP.format(TEXT), within=WIDTH, acts=_size_of_layers(TEXT)
    )
    speech_encoder_layers: Optional[int] = option(
        None,
        "layers of a speech encoder from scratch, or on features (default there: 0)"
        + BY_ARCHITECTURE,
        within=LAYERS,
        acts=_size_within(SPEECH),
    )
    speech_embed_dim: Optional[int] = option(
        None, _WIDTH_HELP.format(SPEECH), within=WIDTH_OR_0, acts=_size_of(SPEECH)
    )
    speech_ffn_embed_dim: Optional[int] = option(
        None, _FFN_HELP.format(SPEECH), within=WIDTH, acts=_size_of_layers(SPEECH)
    )
    speech_attention_heads: Optional[int] = option(
        None, _HEADS_HELP.format(SPEECH), within=WIDTH, acts=_size_of_layers(SPEECH)
    )
    video_encoder_layers: Optional[int] = option(
        None, "layers on video features (default: 0)", within=LAYERS, acts=_size_within(VIDEO)
    )
    video_embed_dim: Optional[int] = option(
        None, _WIDTH_HELP.format(VIDEO), within=WIDTH_OR_0, acts=_size_of(VIDEO)
    )
    video_ffn_embed_dim: Optional[int] = option(
        None, _FFN_HELP.format(VIDEO), within=WIDTH, acts=_size_of_layers(VIDEO)
    )
    video_attention_heads: Optional[int] = option(
        None, _HEADS_HELP.format(VIDEO), within=WIDTH, acts=_size_of_layers(VIDEO)
    )
    speech_conv_layers: Optional[str] = option(
        None,
        "waveform input: convolutions as [(channels, kernel, stride), ...], with + and * as in "
        "wav2vec's --conv-feature-layers" + BY_ARCHITECTURE,
        acts=(_SPEECH_FROM_SCRATCH, _CONVOLVES_WAVEFORMS),
    )
    speech_conv_channels: Optional[int] = option(
        None,
        "log-mel input: channels of the convolutions that make it shorter" + BY_ARCHITECTURE,
        within=WIDTH,
        acts=(_SPEECH_FROM_SCRATCH, _CONVOLVES_LOG_MEL, _has_width(SPEECH)),
    )
    head: ChoiceEnum([TANH, LINEAR]) = option(  # type: ignore[valid-type]
        TANH,
        "from the fused vector to the outputs: a dense layer with tanh, whose values are the "
        "embedding, and a linear layer; or the linear layer alone",
    )
    embedding_dim: int = option(
        1024, "width of the embedding before the head", within=WIDTH, acts=_HAS_TANH_HEAD
    )
    embedding_activation: ChoiceEnum(list(ACTIVATIONS)) = option(  # type: ignore[valid-type]
        TANH, "activation of the embedding, in place of the tanh", acts=_HAS_TANH_HEAD
    )


@dataclass
class LayerConfig(FairseqDataclass):
    """Which layers of the encoders are used, and whether their frames are pooled at once."""

    text_layer: str = option("last", _LAYER_HELP, acts=_choice_of_layers(TEXT))
    speech_layer: str = option("last", _LAYER_HELP, acts=_choice_of_layers(SPEECH))
    video_layer: str = option("last", _LAYER_HELP, acts=_choice_of_layers(VIDEO))
    speech_frozen_pooling: Optional[ChoiceEnum(list(FIXED_POOLINGS))] = option(  # type: ignore[valid-type]
        None, _FROZEN_POOLING_HELP.format(SPEECH), acts=_stores_all_of(SPEECH)
    )
    video_frozen_pooling: Optional[ChoiceEnum(list(FIXED_POOLINGS))] = option(  # type: ignore[valid-type]
        None, _FROZEN_POOLING_HELP.format(VIDEO), acts=_stores_all_of(VIDEO)
    )


@dataclass
class DropoutConfig(FairseqDataclass):
    """Dropout rates, of training alone."""

    dropout: float = option(
        0.1,
        "dropout rate of encoders from scratch or on features, and of the fusion (pretrained ones: "
        "--text-encoder-dropout, --speech-encoder-dropout)",
        within=PROBABILITY,
        acts=_HAS_DROPOUT,
    )
    attention_dropout: float = option(
        0.1, "dropout rate of the attention weights", within=PROBABILITY, acts=_HAS_ATTENTION
    )
    pooler_dropout: float = option(
        0.1, "dropout rate before the embedding and before the head", within=PROBABILITY
    )
    text_encoder_dropout: Optional[float] = option(
        None,
        _DROPOUT_HELP.format(TEXT),
        within=PROBABILITY,
        acts=_dropout_of_pretrained(TEXT),
    )
    speech_encoder_dropout: Optional[float] = option(
        None,
        _DROPOUT_HELP.format(SPEECH),
        within=PROBABILITY,
        acts=_dropout_of_pretrained(SPEECH),
    )
    video_encoder_dropout: Optional[float] = option(
        None,
        _DROPOUT_HELP.format(VIDEO),
        within=PROBABILITY,
        acts=_dropout_of_pretrained(VIDEO),
    )
    modality_dropout: float = option(
        0.0,
        "probability that a modality of a row is left out in training",
        within=PROBABILITY,
        acts=_HAS_MODALITIES,
    )


@dataclass
class TuningConfig(FairseqDataclass):
    """Which parameters are trained, and at which learning rate."""

    text_tuning: ChoiceEnum(list(TUNINGS)) = option(  # type: ignore[valid-type]
        FULL, _TUNING_HELP, acts=is_read(TEXT)
    )
    speech_tuning: ChoiceEnum(list(TUNINGS)) = option(  # type: ignore[valid-type]
        FULL, _TUNING_HELP, acts=is_read(SPEECH)
    )
    video_tuning: ChoiceEnum(list(TUNINGS)) = option(  # type: ignore[valid-type]
        FULL, _TUNING_HELP, acts=is_read(VIDEO)
    )
    speech_freeze_front_end: bool = option(
        False,
        "train no convolution of a waveform encoder; the default of pretrained ones, which "
        "--speech-feature-grad-mult changes",
        acts=(_READS_WAVEFORMS, _IN_FULL, _NO_GRADIENT_BELOW, _TRAINS_FROM_BOTTOM),
    )
    speech_feature_grad_mult: Optional[float] = option(
        None,
        "multiply the gradient of the convolutions of a waveform encoder by this number, as "
        "fairseq's feature_grad_mult does: 1 trains them like the layers, 0 freezes them (default: "
        "0 of a pretrained encoder, 1 of one from scratch)",
        within=Range(0, most=1),
        acts=(_READS_WAVEFORMS, _IN_FULL, _TRAINS_FROM_BOTTOM),
    )
    text_freeze_layers: int = option(
        0, _FREEZE_LAYERS_HELP.format(TEXT), within=LAYERS, acts=_learning_rate_of(TEXT)
    )
    speech_freeze_layers: int = option(
        0, _FREEZE_LAYERS_HELP.format(SPEECH), within=LAYERS, acts=_learning_rate_of(SPEECH)
    )
    video_freeze_layers: int = option(
        0, _FREEZE_LAYERS_HELP.format(VIDEO), within=LAYERS, acts=_learning_rate_of(VIDEO)
    )
    standardize_frozen: bool = option(
        False,
        "bring each number of the outputs of frozen encoders to zero mean and unit deviation over "
        "the train split",
        acts=(_FREEZES_AN_ENCODER, KEEPS_OUTPUTS),
    )
    standardize_fused: bool = option(
        False,
        "bring each number of the fused vectors to zero mean and unit deviation over the train "
        "split, as they are before the first update",
        acts=_IS_NO_PROBE,
    )
    fusion_tuning: ChoiceEnum([FULL, FROZEN]) = option(  # type: ignore[valid-type]
        FULL, "frozen: train only what follows the fusion"
    )
    lora_rank: int = option(
        8,
        "rank of LoRA's matrices, by which the number of trained parameters grows",
        within=Range(1, most=2**16, why="LoRA needs a rank of at least 1; "),
        acts=HAS_LORA,
    )
    lora_alpha: float = option(
        16.0,
        "LoRA's updates are multiplied by this number over the rank",
        within=POSITIVE,
        acts=HAS_LORA,
    )
    lora_dropout: float = option(
        0.0,
        "dropout rate before LoRA's matrices",
        within=PROBABILITY,
        acts=HAS_LORA,
    )
    lora_dora: bool = option(
        False,
        "DoRA: learn the lengths of the rows of LoRA's weights apart from their directions",
        acts=HAS_LORA,
    )
    lora_targets: str = option(
        "query,value",
        "layers that LoRA adapts: query, key, value, output, ffn, or endings of their own names, "
        "joined by commas",
        acts=HAS_LORA,
    )
    checkpoint_weights: ChoiceEnum(["all", "trained"]) = option(  # type: ignore[valid-type]
        "all",
        "trained: leave out of checkpoints what the files of frozen and LoRA encoders hold; "
        "reading them then needs those files",
        acts=_KEEPS_PRETRAINED,
    )
    layer_lr_decay: float = option(
        1.0,
        "learning rate of each layer of an encoder, as a multiple of that of the layer above it",
        within=Range(above=0, most=1),
        acts=_TRAINS_AN_ENCODER,
    )
    text_lr_scale: float = option(
        1.0, _LR_HELP.format(TEXT), within=POSITIVE, acts=_learning_rate_of(TEXT)
    )
    speech_lr_scale: float = option(
        1.0, _LR_HELP.format(SPEECH), within=POSITIVE, acts=_learning_rate_of(SPEECH)
    )
    video_lr_scale: float = option(
        1.0, _LR_HELP.format(VIDEO), within=POSITIVE, acts=_learning_rate_of(VIDEO)
    )
    head_lr_scale: float = option(
        1.0,
        "learning rate of fusion, embedding, dialogue encoder and head, as a multiple of --lr",
        within=POSITIVE,
    )
    unfreeze_every: int = option(
        0,
        "train the top layer alone at first, and one more each time after so many updates (0: all "
        "from the start)",
        within=NOT_NEGATIVE,
        acts=_TRAINS_ONE_IN_FULL,
    )
    checkpoint_activations: bool = option(
        False,
        "save memory: compute activations again in the backward pass, which takes longer",
        acts=_TRAINS_AN_ENCODER,
    )


@dataclass
class RobertaEMOConfig(  # fields of the last base come first, in --help too
    TuningConfig, DropoutConfig, DialogueEncoderConfig, FusionConfig, LayerConfig, SizeConfig
):
    """All options of the model."""
