"""The options of the architecture ``robertaEMO``."""

from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass

from emo_fairseq.modules.pooling import POOLINGS
from emo_fairseq.options.fusion import FUSIONS
from emo_fairseq.types import (
    FROZEN,
    FULL,
    TUNINGS,
)

_BY_ARCH = "; by default what the architecture says"
_LAYER_HELP = "which layer is taken: last (default), a number, mean of all, or weighted (learned)"
_POOLING_HELP = "how its frames become one vector (default: first for tokens, mean for frames)"
_DROPOUT_HELP = "every dropout within a pretrained {} encoder (default: its own)"
_TUNING_HELP = "what of the encoder is trained (default: full)"


def _option(help_text: str) -> Optional[int]:
    option: Optional[int] = field(default=None, metadata={"help": help_text})
    return option


@dataclass
class RobertaEMOConfig(FairseqDataclass):
    """Sizes, fusion and dropout; a size that is not given is the architecture's."""

    text_encoder_layers: Optional[int] = _option("layers of a text encoder from scratch" + _BY_ARCH)
    text_embed_dim: Optional[int] = _option("its width" + _BY_ARCH)
    text_ffn_embed_dim: Optional[int] = _option("width of its feed-forward layers" + _BY_ARCH)
    text_attention_heads: Optional[int] = _option("its attention heads" + _BY_ARCH)
    speech_encoder_layers: Optional[int] = _option(
        "layers of a speech encoder from scratch, or on features (default there: 0)" + _BY_ARCH
    )
    speech_embed_dim: Optional[int] = _option("its width" + _BY_ARCH)
    speech_ffn_embed_dim: Optional[int] = _option("width of its feed-forward layers" + _BY_ARCH)
    speech_attention_heads: Optional[int] = _option("its attention heads" + _BY_ARCH)
    video_encoder_layers: Optional[int] = _option("layers on video features (default: 0)")
    video_embed_dim: Optional[int] = _option("width of the video encoder" + _BY_ARCH)
    video_ffn_embed_dim: Optional[int] = _option("width of its feed-forward layers" + _BY_ARCH)
    video_attention_heads: Optional[int] = _option("its attention heads" + _BY_ARCH)
    speech_conv_layers: Optional[str] = field(
        default=None,
        metadata={
            "help": "waveform input: convolutions as [(channels, kernel, stride), ...], with + "
            "and * as in wav2vec's --conv-feature-layers" + _BY_ARCH
        },
    )
    speech_conv_channels: Optional[int] = _option(
        "log-mel input: channels of the subsampler" + _BY_ARCH
    )
    text_layer: str = field(default="last", metadata={"help": _LAYER_HELP})
    speech_layer: str = field(default="last", metadata={"help": _LAYER_HELP})
    video_layer: str = field(default="last", metadata={"help": _LAYER_HELP})
    text_pooling: Optional[ChoiceEnum(list(POOLINGS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": _POOLING_HELP}
    )
    speech_pooling: Optional[ChoiceEnum(list(POOLINGS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": _POOLING_HELP}
    )
    video_pooling: Optional[ChoiceEnum(list(POOLINGS))] = field(  # type: ignore[valid-type]
        default=None, metadata={"help": _POOLING_HELP}
    )
    text_tuning: ChoiceEnum(list(TUNINGS)) = field(  # type: ignore[valid-type]
        default="full", metadata={"help": _TUNING_HELP}
    )
    speech_tuning: ChoiceEnum(list(TUNINGS)) = field(  # type: ignore[valid-type]
        default="full", metadata={"help": _TUNING_HELP}
    )
    video_tuning: ChoiceEnum(list(TUNINGS)) = field(  # type: ignore[valid-type]
        default="full", metadata={"help": _TUNING_HELP}
    )
    fusion_tuning: ChoiceEnum([FULL, FROZEN]) = field(  # type: ignore[valid-type]
        default="full", metadata={"help": "frozen: train what stands behind the fusion only"}
    )
    lora_rank: int = field(default=8, metadata={"help": "rank of LoRA's updates"})
    lora_alpha: float = field(
        default=16.0, metadata={"help": "LoRA's updates are scaled by this over the rank"}
    )
    lora_dropout: float = field(
        default=0.0, metadata={"help": "share of input features kept from LoRA's updates"}
    )
    lora_targets: str = field(
        default="query,value",
        metadata={
            "help": "layers that LoRA adapts: query, key, value, output, ffn, or endings of their "
            "own names, joined by commas"
        },
    )
    checkpoint_weights: ChoiceEnum(["all", "trained"]) = field(  # type: ignore[valid-type]
        default="all",
        metadata={
            "help": "trained: leave out of checkpoints what the files of frozen and LoRA encoders "
            "hold; whoever reads them then needs those files"
        },
    )
    layer_lr_decay: float = field(
        default=1.0,
        metadata={"help": "each layer of an encoder learns at this times the rate of the next"},
    )
    text_lr_scale: float = field(default=1.0, metadata={"help": "times --lr: the text encoder's"})
    speech_lr_scale: float = field(
        default=1.0, metadata={"help": "times --lr: the speech encoder's"}
    )
    video_lr_scale: float = field(default=1.0, metadata={"help": "times --lr: the video encoder's"})
    head_lr_scale: float = field(
        default=1.0, metadata={"help": "times --lr: fusion, embedding and head"}
    )
    unfreeze_every: int = field(
        default=0,
        metadata={"help": "train the top layer alone, and one more after so many updates (0: all)"},
    )
    checkpoint_activations: bool = field(
        default=False,
        metadata={"help": "keep less for the backward pass, and compute it again there"},
    )
    fusion: Optional[ChoiceEnum(list(FUSIONS))] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "how modalities meet (default: cross_attention; concat for one)"},
    )
    stack_up: bool = field(
        default=False,
        metadata={
            "help": "the seed's cross-attention: only the first token of each modality asks "
            "(the same as --fusion cross_attention --cross-attention-query first_token)"
        },
    )
    cross_attention_query: Optional[ChoiceEnum(["all_tokens", "first_token"])] = field(  # type: ignore[valid-type]
        default=None,
        metadata={"help": "which tokens of a modality ask the other one (default: all_tokens)"},
    )
    cross_attention_no_ffn: bool = field(
        default=False, metadata={"help": "no feed-forward layer after each cross-attention"}
    )
    fusion_embed_dim: Optional[int] = _option("width of the fusion" + _BY_ARCH)
    encoder_layers_cross: Optional[int] = _option("layers of cross-attention" + _BY_ARCH)
    encoder_attention_heads: Optional[int] = _option("heads of the cross-attention" + _BY_ARCH)
    lmf_rank: Optional[int] = _option("rank of the low-rank fusion (default: 4)")
    modality_dropout: float = field(
        default=0.0,
        metadata={"help": "in training, chance of each modality of a row to be left out"},
    )
    embedding_dim: int = field(
        default=1024, metadata={"help": "width of the embedding before the head"}
    )
    dropout: float = field(
        default=0.1, metadata={"help": "dropout of encoders from scratch and of the fusion"}
    )
    text_encoder_dropout: Optional[float] = field(
        default=None, metadata={"help": _DROPOUT_HELP.format("text")}
    )
    speech_encoder_dropout: Optional[float] = field(
        default=None, metadata={"help": _DROPOUT_HELP.format("speech")}
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout of the attention weights"}
    )
    pooler_dropout: float = field(
        default=0.1, metadata={"help": "dropout before the embedding and before the head"}
    )
