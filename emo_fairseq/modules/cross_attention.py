"""Attention of one modality's tokens over all frames of another."""

import torch
from fairseq.modules import LayerNorm, MultiheadAttention
from torch import Tensor, nn


class CrossAttentionLayer(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual.

    Args:
        embed_dim: C, of queries and of keys.
        ffn_dim: width of the feed-forward layer; None: attention alone.
        n_heads: H, attention heads; must divide C.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.
    """

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int | None,
        n_heads: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.query_norm = LayerNorm(embed_dim)
        self.key_norm = LayerNorm(embed_dim)
        self.attention = MultiheadAttention(
            embed_dim, n_heads, dropout=attention_dropout, encoder_decoder_attention=True
        )
        self.feed_forward = None if ffn_dim is None else _feed_forward(embed_dim, ffn_dim, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, queries: Tensor, keys: Tensor, keys_padding_mask: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Let each query look at the keys.

        Args:
            queries: (B, T_q, C).
            keys: (B, T_k, C), also the values.
            keys_padding_mask: (B, T_k), True = padding. A row that is all padding (its modality
                is missing) adds nothing: its queries keep only the residual.
            need_weights: return them too.

        Returns:
            (B, T_q, C); and None, or the weights before dropout (B, H, T_q, T_k), 0 at padding.
        """
        nobody_there = keys_padding_mask.all(dim=1)  # (B,)
        # A softmax over no key is NaN, in the gradient too: let such rows see, and then drop it.
        hidden = keys_padding_mask & ~nobody_there[:, None]
        # B x T x C -> T x B x C, as fairseq's attention wants it
        normed_keys = self.key_norm(keys).transpose(0, 1)
        attended, weights = self.attention(
            query=self.query_norm(queries).transpose(0, 1),
            key=normed_keys,
            value=normed_keys,
            key_padding_mask=hidden,
            static_kv=True,
            need_weights=False,
            need_head_weights=need_weights,
        )
        attended = attended.transpose(0, 1)  # T x B x C -> B x T x C
        attended = torch.where(nobody_there[:, None, None], torch.zeros_like(attended), attended)
        queries = queries + self.dropout(attended)
        if self.feed_forward is not None:
            queries = queries + self.dropout(self.feed_forward(queries))
        if not need_weights:
            return queries, None
        # H x B x T_q x T_k -> B x H x T_q x T_k
        weights = weights.detach().transpose(0, 1)
        return queries, weights.masked_fill(keys_padding_mask[:, None, None], 0.0)


def _feed_forward(embed_dim: int, ffn_dim: int, dropout: float) -> nn.Module:
    return nn.Sequential(
        LayerNorm(embed_dim),
        nn.Linear(embed_dim, ffn_dim),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(ffn_dim, embed_dim),
    )
