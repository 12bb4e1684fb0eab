"""Cross-attention from the tokens of one modality to the frames of another."""

import torch
from fairseq.modules import LayerNorm, MultiheadAttention
from torch import Tensor, nn


class CrossAttentionLayer(nn.Module):
    """Apply pre-norm cross-attention and a pre-norm feed-forward block, each with a residual.

    Args:
        embed_dim: C, of queries and of keys.
        ffn_dim: width of the feed-forward layer; None = attention alone.
        n_heads: H, attention heads; must divide C.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.

    >>> layer = CrossAttentionLayer(8, 32, n_heads=2, dropout=0.1, attention_dropout=0.1)
    >>> text, speech = torch.randn(2, 4, 8), torch.randn(2, 9, 8)
    >>> attended, weights = layer(text, speech, torch.zeros(2, 9, dtype=torch.bool), True)
    >>> attended.shape, weights.shape
    (torch.Size([2, 4, 8]), torch.Size([2, 2, 4, 9]))
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
        """Attend from the queries to the keys.

        Args:
            queries: (B, T_q, C).
            keys: (B, T_k, C), also the values.
            keys_padding_mask: (B, T_k), True = padding. A row that is all padding (its modality
                is missing) adds nothing: its queries keep only the residual.
            need_weights: return the attention weights too.

        Returns:
            Updated queries (B, T_q, C); and, if wanted, the attention weights before dropout
            (B, H, T_q, T_k), 0 at padding, else None.
        """
        all_padding = keys_padding_mask.all(dim=1)  # (B,)
        # A softmax over no key is NaN, in the gradient too: such rows attend to padding, and their
        # result is dropped below.
        attention_mask = keys_padding_mask & ~all_padding[:, None]
        # B x T x C -> T x B x C, as fairseq's attention expects
        normed_keys = self.key_norm(keys).transpose(0, 1)
        attended, weights = self.attention(
            query=self.query_norm(queries).transpose(0, 1),
            key=normed_keys,
            value=normed_keys,
            key_padding_mask=attention_mask,
            static_kv=True,
            need_weights=False,
            need_head_weights=need_weights,
        )
        attended = attended.transpose(0, 1)  # T x B x C -> B x T x C
        attended = torch.where(all_padding[:, None, None], torch.zeros_like(attended), attended)
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
