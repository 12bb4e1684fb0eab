"""Which encoder reads which input.

All are :class:`emo_fairseq.modules.encoder.Encoder`; their first argument bears the name under
which the modality's leaf collates its input.
"""

from collections.abc import Callable, Mapping
from typing import Any

from data_prep.features.log_mel import N_MELS
from emo_fairseq import pretrained
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.convolutions import parse_conv_layers
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.frame_encoder import FrameEncoder
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder
from emo_fairseq.task_state import TaskState
from emo_fairseq.types import (
    FRAMES,
    LOG_MEL,
    TOKENS,
    WAVEFORM,
)


def build_encoder(modality: str, config: Any, state: TaskState) -> Encoder:
    """Build the encoder that the modality's card describes, with random weights."""
    card = state.encoders[modality]
    if card.is_pretrained:
        return pretrained.build(card.with_dropout(getattr(config, f"{modality}_encoder_dropout")))
    size = TransformerSize(
        embed_dim=getattr(config, f"{modality}_embed_dim"),
        ffn_embed_dim=getattr(config, f"{modality}_ffn_embed_dim"),
        n_layers=getattr(config, f"{modality}_encoder_layers"),
        n_heads=getattr(config, f"{modality}_attention_heads"),
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
    )
    if size.embed_dim % size.n_heads:
        raise UsageError(
            f"--{modality}-attention-heads {size.n_heads} does not divide --{modality}-embed-dim "
            f"{size.embed_dim}; change one of them"
        )
    return _BUILDERS[card.input](modality, config, state, size)


def _tokens(modality: str, config: Any, state: TaskState, size: TransformerSize) -> Encoder:
    vocabulary = state.vocabularies[modality]
    return TokenEncoder(
        vocabulary_size=vocabulary.size,
        max_tokens=state.limits.max_tokens(modality),
        size=size,
        padding_id=vocabulary.specials.pad,
    )


def _waveform(modality: str, config: Any, state: TaskState, size: TransformerSize) -> Encoder:
    layers = parse_conv_layers(config.speech_conv_layers, "--speech-conv-layers")
    return WaveformEncoder(conv_layers=layers, size=size)


def _log_mel(modality: str, config: Any, state: TaskState, size: TransformerSize) -> Encoder:
    return LogMelEncoder(n_mels=N_MELS, conv_channels=config.speech_conv_channels, size=size)


def _frames(modality: str, config: Any, state: TaskState, size: TransformerSize) -> Encoder:
    return FrameEncoder(input_dim=len(state.frame_statistics[modality].mean), size=size)


_BUILDERS: Mapping[str, Callable[..., Encoder]] = {
    TOKENS: _tokens,
    WAVEFORM: _waveform,
    LOG_MEL: _log_mel,
    FRAMES: _frames,
}
