"""Which encoder reads which input.

All are :class:`emo_fairseq.modules.encoder.Encoder`; their first argument bears the name under
which the modality's leaf collates its input.
"""

import ast
from collections.abc import Callable, Mapping
from typing import Any

from emo_fairseq.data.log_mel import N_MELS
from emo_fairseq.errors import UsageError
from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.log_mel_encoder import LogMelEncoder
from emo_fairseq.modules.token_encoder import TokenEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.waveform_encoder import WaveformEncoder


def build_encoder(modality: str, config: Any, task: Any) -> Encoder:
    """The encoder of one modality, from scratch, in the size that `config` gives."""
    kind = "tokens" if task.source.is_tokens(modality) else task.source.speech_input
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
    return _BUILDERS[kind](modality, config, task, size)


def _tokens(modality: str, config: Any, task: Any, size: TransformerSize) -> Encoder:
    return TokenEncoder(
        vocabulary_size=task.vocabularies()[modality].size,
        max_tokens=task.source.max_tokens(modality),
        size=size,
    )


def _waveform(modality: str, config: Any, task: Any, size: TransformerSize) -> Encoder:
    return WaveformEncoder(conv_layers=parse_conv_layers(config.speech_conv_layers), size=size)


def _log_mel(modality: str, config: Any, task: Any, size: TransformerSize) -> Encoder:
    return LogMelEncoder(n_mels=N_MELS, conv_channels=config.speech_conv_channels, size=size)


_BUILDERS: Mapping[str, Callable[..., Encoder]] = {
    "tokens": _tokens,
    "waveform": _waveform,
    "log_mel": _log_mel,
}


def parse_conv_layers(text: str) -> list[tuple[int, int, int]]:
    """Read wav2vec's notation ``[(512, 10, 5)] + [(512, 3, 2)] * 4`` without evaluating code.

    >>> parse_conv_layers("[(8, 10, 5)] + [(8, 3, 2)] * 2")
    [(8, 10, 5), (8, 3, 2), (8, 3, 2)]

    Raises:
        UsageError: anything but sums of lists of three positive integers, each times a number.
    """
    layers: list[tuple[int, int, int]] = []
    try:
        for term in text.split("+"):
            listed, _, times = term.partition("*")
            layers += ast.literal_eval(listed.strip()) * (int(times) if times.strip() else 1)
        well_formed = all(
            len(layer) == 3 and all(isinstance(n, int) and n > 0 for n in layer) for layer in layers
        )
    except (ValueError, SyntaxError, TypeError):
        well_formed = False
    if not (layers and well_formed):
        raise UsageError(
            f"--speech-conv-layers {text!r}: write [(channels, kernel, stride), ...], "
            "with + between lists and * after one to repeat it"
        )
    return layers
