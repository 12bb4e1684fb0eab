"""Encoder of log-mel frames, trained from scratch: fairseq's subsampler and a transformer."""

from collections.abc import Sequence

from fairseq.models.speech_to_text.modules.convolution import Conv1dSubsampler
from fairseq.modules import LayerNorm, PositionalEmbedding
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase
from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder, has_padding, in_blocks
from emo_fairseq.modules.transformer import TransformerSize, fairseq_config

_KERNELS = (5, 5)  # two convolutions of stride 2: a frame every 40 ms
_NO_PADDING_ID = 0


class LogMelEncoder(Encoder):
    """Subsample frames by 4 with fairseq's convolutions, and apply a pre-norm transformer.

    Args:
        n_mels: input bands.
        conv_channels: channels between the convolutions.
        size: of the transformer.
    """

    def __init__(self, n_mels: int, conv_channels: int, size: TransformerSize) -> None:
        super().__init__()
        self.subsampler = Conv1dSubsampler(n_mels, conv_channels, size.embed_dim, list(_KERNELS))
        config = fairseq_config(size, pre_norm=True)
        self.embed_positions = PositionalEmbedding(
            2048, size.embed_dim, _NO_PADDING_ID, learned=False
        )
        self.transformer = nn.ModuleList(
            TransformerEncoderLayerBase(config) for _ in range(size.n_layers)
        )
        self.layer_norm = LayerNorm(size.embed_dim)
        self.dropout = nn.Dropout(size.dropout)
        self.embed_dim = size.embed_dim
        self.n_layers = size.n_layers

    def layers(self, frames: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of log-mel frames.

        Args:
            frames: (B, T, n_mels).
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`; T becomes ceil(ceil(T / 2) / 2).
        """
        features, mask = self._subsample(frames, padding_mask)
        # fairseq counts positions from 1, leaving out what equals the padding id: (B, T)
        positions = self.embed_positions((~mask).long())
        hidden_states = [self.dropout(features + positions.to(features.dtype))]
        x = hidden_states[0].transpose(0, 1)  # T x B x C, as fairseq's layers expect
        attention_mask = mask if has_padding(mask) else None
        for layer in self.transformer:
            x = layer(x, attention_mask)
            hidden_states.append(x.transpose(0, 1))
        hidden_states[-1] = self.layer_norm(hidden_states[-1])
        return hidden_states, mask

    def blocks(self) -> Sequence[nn.Module]:
        return in_blocks((self.subsampler,), self.transformer, (self.layer_norm,))

    def _subsample(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the subsampler's convolutions, with padding set to 0 before each of them.

        Otherwise the bias of the first would leak from the padding into the last frames.
        """
        x = frames.transpose(1, 2)  # B x C x T
        for conv in self.subsampler.conv_layers:
            x = nn.functional.glu(conv(x.masked_fill(mask[:, None], 0.0)), dim=1)
            mask = mask[:, ::2]  # stride 2, centered: output t is centered on input 2 t
        return x.transpose(1, 2), mask
