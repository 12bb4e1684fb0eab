"""Encoder of raw samples with wav2vec 2.0's architecture, trained from scratch."""

import math
from collections.abc import Sequence

import torch
from fairseq.models.wav2vec.wav2vec2 import (
    ConvFeatureExtractionModel,
    TransformerEncoder,
    Wav2Vec2Config,
)
from fairseq.modules import LayerNorm
from torch import Tensor, nn

from emo_fairseq.modules.convolutions import ConvLayer, count_frames
from emo_fairseq.modules.encoder import in_blocks
from emo_fairseq.modules.staged_encoder import StagedEncoder
from emo_fairseq.modules.transformer import TransformerSize
from emo_fairseq.modules.wav2vec2_transformer import embed_frames, run_transformer_layers


class WaveformEncoder(StagedEncoder):
    """Encode a waveform by convolutions and a pre-norm transformer.

    The convolutions are those of wav2vec 2.0's "layer_norm" mode: the default mode normalizes each
    channel over time, including padding, so that features would depend on the rest of the batch.

    Args:
        conv_layers: (channels, kernel, stride) of each convolution.
        size: of the transformer.
    """

    trains_front_end = True

    def __init__(self, conv_layers: Sequence[ConvLayer], size: TransformerSize) -> None:
        super().__init__()
        self.conv_layers = [tuple(layer) for layer in conv_layers]
        self.feature_extractor = ConvFeatureExtractionModel(
            self.conv_layers, mode="layer_norm", conv_bias=True
        )
        channels = self.conv_layers[-1][0]
        self.layer_norm = LayerNorm(channels)
        self.post_extract_proj = nn.Linear(channels, size.embed_dim)
        config = Wav2Vec2Config(
            encoder_embed_dim=size.embed_dim,
            encoder_ffn_embed_dim=size.ffn_embed_dim,
            encoder_layers=size.n_layers,
            encoder_attention_heads=size.n_heads,
            dropout=size.dropout,
            attention_dropout=size.attention_dropout,
            layer_norm_first=True,
            conv_pos=32,
            conv_pos_groups=math.gcd(16, size.embed_dim),
        )
        self.encoder = TransformerEncoder(config)
        self.embed_dim = size.embed_dim
        self.n_layers = size.n_layers

    def n_frames(self, n_samples: Tensor) -> Tensor:
        """Return how many frames see no padding, for each number of samples."""
        return count_frames(n_samples, self.conv_layers)

    def front_end_modules(self) -> Sequence[nn.Module]:
        return (self.feature_extractor,)

    def front_end(self, waveform: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        # B x channels x T -> B x T x channels
        frames = self.feature_extractor(waveform).transpose(1, 2)
        lengths = self.n_frames((~padding_mask).sum(dim=1)).clamp(min=1)
        return frames, torch.arange(frames.size(1), device=frames.device) >= lengths[:, None]

    def embed(self, frames: Tensor, padding_mask: Tensor) -> Tensor:
        frames = self.post_extract_proj(self.layer_norm(frames))
        return embed_frames(self.encoder, frames, padding_mask)

    def run_layers(
        self, state: Tensor, padding_mask: Tensor, first: int, last: int
    ) -> list[Tensor]:
        return run_transformer_layers(self.encoder, state, padding_mask, first, last)

    def blocks(self) -> Sequence[nn.Module]:
        front = (self.feature_extractor, self.layer_norm, self.post_extract_proj)
        # Pre-norm: the transformer's own layer norm is its last step.
        return in_blocks(
            (*front, self.encoder.pos_conv), self.encoder.layers, (self.encoder.layer_norm,)
        )
