"""Size of a transformer encoder, and its configuration in fairseq."""

from dataclasses import dataclass

from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer.transformer_config import EncDecBaseConfig


@dataclass(frozen=True)
class TransformerSize:
    """Size and dropout of a transformer encoder.

    Attributes:
        embed_dim: C, width of the features; `n_heads` must divide it.
        ffn_embed_dim: width of the feed-forward layers.
        n_layers: transformer layers.
        n_heads: attention heads.
        dropout: on embeddings, attention outputs and feed-forward outputs.
        attention_dropout: on attention weights.
    """

    embed_dim: int
    ffn_embed_dim: int
    n_layers: int
    n_heads: int
    dropout: float
    attention_dropout: float


def fairseq_config(size: TransformerSize, pre_norm: bool) -> TransformerConfig:
    """Return fairseq's configuration of an encoder with GELU, pre-norm or post-norm."""
    config = TransformerConfig()
    # The default of this field is the class itself: setting its attributes would change it for all.
    config.encoder = EncDecBaseConfig(
        embed_dim=size.embed_dim,
        ffn_embed_dim=size.ffn_embed_dim,
        layers=size.n_layers,
        attention_heads=size.n_heads,
        normalize_before=pre_norm,
    )
    config.dropout = size.dropout
    config.attention_dropout = size.attention_dropout
    config.activation_fn = "gelu"
    return config
