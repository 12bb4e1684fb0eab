"""Crossmodal transformers: cross-attention between modalities, then self-attention in each."""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import cast

import torch
from fairseq.modules import LayerNorm
from torch import Tensor, nn

from emo_fairseq.modules.cross_attention import CrossAttentionLayer
from emo_fairseq.modules.fusion.base import (
    Attention,
    Encoded,
    Fusion,
    fill_missing,
    missing_vectors,
    pool,
)
from emo_fairseq.modules.pooling import Pooling


class CrossmodalTransformer(Fusion):
    """Attend from each modality to every other, concatenate per frame, and apply self-attention.

    Tsai et al. 2019, "Multimodal Transformer for Unaligned Multimodal Language Sequences" (MulT,
    arXiv:1906.00295): what a frame of one modality has got from each of the others is concatenated,
    and a transformer of that width, (M - 1) x `fusion_dim`, runs over the frames. The paper takes
    the last frame; here the modality's pooling follows. There are no position embeddings, since the
    encoders have them. The feed-forward layers are 4 times as wide as their input.

    Where the modality of the queries is missing, a learned vector replaces the pooled output; where
    that of the keys is missing, its part of the concatenation is the projected queries.

    If `attention` is collected, `text_from_speech` and so on are weights of cross-attention, and
    `text_pooling` and so on those of an attention pooling.

    Args:
        embed_dims: C of each modality, at least two.
        pooling: for each modality, builds its pooling, of width (M - 1) x `fusion_dim`.
        fusion_dim: width to which all are projected.
        n_cross_layers: cross-attention layers for each ordered pair.
        n_self_layers: self-attention layers for each modality.
        n_heads: attention heads; must divide `fusion_dim`.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.
    """

    def __init__(
        self,
        embed_dims: Mapping[str, int],
        pooling: Mapping[str, Callable[[int], Pooling]],
        fusion_dim: int,
        n_cross_layers: int,
        n_self_layers: int,
        n_heads: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()

        def layers(width: int, number: int) -> nn.ModuleList:
            return nn.ModuleList(
                CrossAttentionLayer(width, 4 * width, n_heads, dropout, attention_dropout)
                for _ in range(number)
            )

        self.pairs = [f"{query}_from_{key}" for query, key in permutations(embed_dims, 2)]
        width = (len(embed_dims) - 1) * fusion_dim
        self.project = nn.ModuleDict(
            {name: nn.Linear(dim, fusion_dim) for name, dim in embed_dims.items()}
        )
        self.cross = nn.ModuleDict(
            {pair: layers(fusion_dim, n_cross_layers) for pair in self.pairs}
        )
        self.cross_norm = nn.ModuleDict({pair: LayerNorm(fusion_dim) for pair in self.pairs})
        self.own = nn.ModuleDict({name: layers(width, n_self_layers) for name in embed_dims})
        self.own_norm = nn.ModuleDict({name: LayerNorm(width) for name in embed_dims})
        self.poolers = nn.ModuleDict({name: pooling[name](width) for name in embed_dims})
        dims = {name: cast(Pooling, part).output_dim for name, part in self.poolers.items()}
        self.missing = missing_vectors(dims)
        self.output_dim = sum(dims.values())

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        projected = {
            name: project(encoded[name][0].masked_fill(encoded[name][1][..., None], 0.0))
            for name, project in self.project.items()
        }
        summaries = []
        for name in projected:
            padding_mask = encoded[name][1]
            others = [other for other in projected if other != name]
            x = torch.cat(
                [self._attend(name, other, projected, encoded, attention) for other in others],
                dim=2,
            )
            for layer in cast(nn.ModuleList, self.own[name]):
                x, _ = layer(x, x, padding_mask)
            x = self.own_norm[name](x)
            pooled = pool(self.poolers[name], x, padding_mask, attention, f"{name}_pooling")
            summaries.append(fill_missing(*pooled, self.missing[name]))
        return torch.cat(summaries, dim=1)

    def _attend(
        self,
        query: str,
        key: str,
        projected: Mapping[str, Tensor],
        encoded: Encoded,
        attention: Attention | None,
    ) -> Tensor:
        """Return the frames (B, T, `fusion_dim`) of one modality after attending to another."""
        pair, x = f"{query}_from_{key}", projected[query]
        weights = []
        for layer in cast(nn.ModuleList, self.cross[pair]):
            x, layer_weights = layer(
                x, projected[key], encoded[key][1], need_weights=attention is not None
            )
            weights.append(layer_weights)
        if attention is not None:
            by_layer = torch.stack(weights, dim=1)  # (B, layers, H, T_q, T_k)
            attention[pair] = by_layer.masked_fill(encoded[query][1][:, None, None, :, None], 0.0)
        normed: Tensor = self.cross_norm[pair](x)
        return normed
