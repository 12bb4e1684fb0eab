"""Build the encoder of one modality from its spec: pretrained, from scratch, or on features."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from data_prep.features.log_mel import N_MELS
from emo_fairseq import pretrained
from emo_fairseq.encoder_spec import EncoderSpec
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import FRAMES, LOG_MEL, TOKENS, WAVEFORM
from emo_fairseq.models.config import RobertaEMOConfig
from emo_fairseq.models.modality_encoder import CONCAT, LAST, MEAN, WEIGHTED, check_layer
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.frame_encoder import FrameEncoder, IdentityEncoder
from emo_fairseq.modules.layer_mix import LayerMix
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.pooling import FIXED_POOLINGS
from emo_fairseq.modules.stored_layers import StoredLayers
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder
from emo_fairseq.option_values import BY_UTTERANCE, CROSS_ATTENTION
from emo_fairseq.task_state import TaskState


def build_encoder(modality: str, config: RobertaEMOConfig, state: TaskState) -> Encoder:
    """Build the encoder of a modality's spec, with random weights.

    Args:
        modality: that it reads.
        config: options of the model, filled in.
        state: has the spec, and what else the sizes of the encoder follow from.

    Raises:
        UsageError: sizes that do not fit each other.
    """
    spec = state.encoders[modality]
    if spec.is_pretrained:
        return pretrained.build(spec.with_dropout(getattr(config, f"{modality}_encoder_dropout")))
    size = transformer_size(modality, config, spec)
    if size.embed_dim == 0:
        _check_pooling_varies(modality, config, state)
        return _on_stored_layers(modality, config, state, IdentityEncoder)
    return _FROM_SCRATCH[spec.input](modality, config, state, size)


def _check_pooling_varies(modality: str, config: RobertaEMOConfig, state: TaskState) -> None:
    """Refuse frames that are pooled to what their normalization has made equal in every row.

    Raises:
        UsageError: they are.
    """
    pooling = str(getattr(config, f"{modality}_pooling") or "mean")
    is_cross_attention = str(config.fusion) == CROSS_ATTENTION
    removes = state.normalize_by == BY_UTTERANCE and pooling in FIXED_POOLINGS
    if removes and not is_cross_attention:
        raise UsageError(
            f"--normalize-by utterance: the mean and deviation of {modality} frames, which are "
            "pooled without an encoder, are then 0 and 1 in every row; normalize by speaker or "
            "train",
            "normalization-removes-input",
        )


def transformer_size(modality: str, config: RobertaEMOConfig, spec: EncoderSpec) -> TransformerSize:
    """Return the size of an encoder that is not pretrained; its width is 0 where there is none.

    Args:
        modality: that it reads.
        config: options of the model, filled in.
        spec: of the encoder.

    Raises:
        UsageError: a width of 0 for what is not read as frames, or layers whose heads do not divide
            the width.
    """
    size = TransformerSize(
        embed_dim=getattr(config, f"{modality}_embed_dim"),
        ffn_embed_dim=getattr(config, f"{modality}_ffn_embed_dim"),
        n_layers=getattr(config, f"{modality}_encoder_layers"),
        n_heads=getattr(config, f"{modality}_attention_heads"),
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )
    if size.embed_dim == 0 and spec.input not in (FRAMES, LOG_MEL):
        raise UsageError(
            f"--{modality}-embed-dim 0: {spec.input} need an encoder; give the width of one, or "
            "frames: features:NAME, or --speech-input log_mel",
            "width-without-encoder",
        )
    if size.n_layers and size.embed_dim % size.n_heads:
        raise UsageError(
            f"--{modality}-attention-heads {size.n_heads} does not divide --{modality}-embed-dim "
            f"{size.embed_dim}; change one of them",
            "heads-indivisible",
        )
    return size


def _tokens(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    vocabulary = state.vocabularies[modality]
    return TokenEncoder(
        vocabulary_size=vocabulary.size,
        max_tokens=state.limits.max_tokens(modality),
        size=size,
        padding_id=vocabulary.specials.pad,
    )


def _waveform(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    assert config.speech_conv_layers is not None  # the architecture has filled it in
    layers = parse_conv_layers(config.speech_conv_layers, "--speech-conv-layers")
    return WaveformEncoder(conv_layers=layers, size=size)


def _log_mel(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    assert config.speech_conv_channels is not None  # as above
    return LogMelEncoder(n_mels=N_MELS, conv_channels=config.speech_conv_channels, size=size)


def _frames(
    modality: str, config: RobertaEMOConfig, state: TaskState, size: TransformerSize
) -> Encoder:
    return _on_stored_layers(modality, config, state, partial(FrameEncoder, size=size))


def _on_stored_layers(
    modality: str, config: RobertaEMOConfig, state: TaskState, build: Callable[[int], Encoder]
) -> Encoder:
    """Build the encoder of frames, by their width, on the layer that is chosen of each.

    Raises:
        UsageError: the frames do not hold it.
    """
    spec, width = state.encoders[modality], len(state.frame_statistics[modality].mean)
    layer, n_stored = str(getattr(config, f"{modality}_layer")), spec.stored_layers
    if n_stored == 1:
        return build(width)
    if n_stored < 1 or width % n_stored:
        raise UsageError(
            f"{spec.spec}: frames of {width} numbers are not those of {n_stored} layers; extract "
            "them again",
            "features-width",
        )
    check_layer(layer, n_stored - 1, f"--{modality}-layer {layer}: {spec.spec}")
    if layer == CONCAT:
        return StoredLayers(n_stored, layer, partial(torch.flatten, start_dim=2), build(width))
    choose: nn.Module | Callable[[Tensor], Tensor]
    if layer == WEIGHTED:
        choose = LayerMix(n_stored)
    elif layer == MEAN:
        choose = partial(torch.mean, dim=2)
    else:
        choose = partial(torch.select, dim=2, index=n_stored - 1 if layer == LAST else int(layer))
    return StoredLayers(n_stored, layer, choose, build(width // n_stored))


_Builder = Callable[[str, RobertaEMOConfig, TaskState, TransformerSize], Encoder]
_FROM_SCRATCH: Mapping[str, _Builder] = {  # by what the encoder reads
    TOKENS: _tokens,
    WAVEFORM: _waveform,
    LOG_MEL: _log_mel,
    FRAMES: _frames,
}


def layer_of_backbone(modality: str, config: RobertaEMOConfig, state: TaskState) -> str:
    """Return the layer of what :func:`build_encoder` returns that is used: ``--{modality}-layer``.

    Of features of several layers, the option chooses the one that is encoded.
    """
    chooses_inside = state.encoders[modality].stored_layers > 1
    return LAST if chooses_inside else str(getattr(config, f"{modality}_layer"))
