"""Encoders of frames: a linear layer, maybe with a transformer behind it, or the identity."""

from collections.abc import Sequence

from fairseq.modules import LayerNorm, PositionalEmbedding
from fairseq.modules.transformer_layer import TransformerEncoderLayerBase
from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder
from emo_fairseq.modules.transformer import TransformerSize, fairseq_config

_NO_PADDING_ID = 0
_POSITIONS = 2048


class FrameEncoder(Encoder):
    """Project each frame; with layers, add sinusoidal positions and apply a pre-norm transformer.

    Args:
        input_dim: width of the frames.
        size: of the output and of the transformer, which may have 0 layers.
    """

    def __init__(self, input_dim: int, size: TransformerSize) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, size.embed_dim)
        self.dropout = nn.Dropout(size.dropout)
        self.embed_positions = (
            PositionalEmbedding(_POSITIONS, size.embed_dim, _NO_PADDING_ID, learned=False)
            if size.n_layers
            else None
        )
        config = fairseq_config(size, pre_norm=True)
        self.transformer = nn.ModuleList(
            TransformerEncoderLayerBase(config) for _ in range(size.n_layers)
        )
        self.layer_norm = LayerNorm(size.embed_dim)
        self.embed_dim = size.embed_dim
        self.n_layers = size.n_layers

    def layers(self, frames: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of frames.

        Args:
            frames: (B, T, input_dim).
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`; T is unchanged.
        """
        x = self.dropout(self.project(frames))
        if self.embed_positions is not None:
            # fairseq counts positions from 1, leaving out what equals the padding id: (B, T)
            x = x + self.embed_positions((~padding_mask).long()).to(x.dtype)
        hidden_states = [x]
        x = x.transpose(0, 1)  # T x B x C, as fairseq's layers expect
        for layer in self.transformer:
            x = layer(x, padding_mask)
            hidden_states.append(x.transpose(0, 1))
        hidden_states[-1] = self.layer_norm(hidden_states[-1])
        return hidden_states, padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        return [nn.ModuleList([self.project, self.layer_norm]), *self.transformer]


class IdentityEncoder(Encoder):
    """Return the frames, log-mel or extracted features; there are no parameters."""

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.embed_dim = input_dim
        self.n_layers = 0

    def layers(self, frames: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the frames (B, T, input_dim) and their padding mask (B, T)."""
        return [frames], padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        return []
