"""Token-level fusion: each modality's tokens query all frames of every other one."""

from collections.abc import Callable, Mapping
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


class CrossAttentionFusion(Fusion):
    """What each modality has learned from each other one, pooled and concatenated.

    Where the asking modality is missing, a learned vector stands for what the pair would have
    said; where the one that is asked is missing, the askers keep what they know themselves.

    Args:
        embed_dims: C of each modality, at least two.
        pooling: of each asking modality; called with `fusion_dim` for each pair in which it asks,
            pools what its queries were told.
        fusion_dim: width to which all are projected.
        n_layers: cross-attention layers for each ordered pair.
        n_heads: attention heads; must divide `fusion_dim`.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.
        first_token_only: only the first token of a modality asks, instead of all of them; pooling
            then sees this one alone.
        ffn: a feed-forward layer of 4 x `fusion_dim` after each attention.

    If `attention` is collected, the weights of an attention pooling are in it as
    `text_from_speech_pooling`, since it pools not the text but what the text was told.

    Raises:
        ValueError: there is one modality only.
    """

    def __init__(
        self,
        embed_dims: Mapping[str, int],
        pooling: Mapping[str, Callable[[int], Pooling]],
        fusion_dim: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        attention_dropout: float,
        first_token_only: bool,
        ffn: bool = True,
    ) -> None:
        super().__init__()
        if len(embed_dims) < 2:
            raise ValueError(
                f"cross-attention is between modalities, and there is only {', '.join(embed_dims)}"
                ": give two or more, or use another fusion"
            )
        self.first_token_only = first_token_only
        self.project = nn.ModuleDict(
            {name: _projection(width, fusion_dim) for name, width in embed_dims.items()}
        )
        self.pairs = [(asks, told) for asks in embed_dims for told in embed_dims if asks != told]
        names = [_pair_name(pair) for pair in self.pairs]

        def layer() -> CrossAttentionLayer:
            ffn_dim = 4 * fusion_dim if ffn else None
            return CrossAttentionLayer(fusion_dim, ffn_dim, n_heads, dropout, attention_dropout)

        self.layers = nn.ModuleDict(
            {name: nn.ModuleList(layer() for _ in range(n_layers)) for name in names}
        )
        self.final_norm = nn.ModuleDict({name: LayerNorm(fusion_dim) for name in names})
        poolers = {_pair_name(pair): pooling[pair[0]](fusion_dim) for pair in self.pairs}
        self.poolers = nn.ModuleDict(poolers)
        self.missing = missing_vectors({name: part.output_dim for name, part in poolers.items()})
        self.output_dim = sum(part.output_dim for part in poolers.values())

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        projected = {}
        for name, project in self.project.items():
            features, padding_mask = encoded[name]
            projected[name] = project(features.masked_fill(padding_mask[..., None], 0.0))
        told = []
        for pair in self.pairs:
            name = _pair_name(pair)
            queries, padding_mask = self._ask(pair, projected, encoded, attention)
            pooler = self.poolers[name]
            pooled = pool(pooler, queries, padding_mask, attention, f"{name}_pooling")
            told.append(fill_missing(*pooled, self.missing[name]))
        return torch.cat(told, dim=1)

    def _ask(
        self,
        pair: tuple[str, str],
        projected: Mapping[str, Tensor],
        encoded: Encoded,
        attention: Attention | None,
    ) -> tuple[Tensor, Tensor]:
        """What the queries (B, T_q, fusion_dim) of a pair have become, and their mask."""
        name, (asks, told) = _pair_name(pair), pair
        queries, padding_mask = projected[asks], encoded[asks][1]
        if self.first_token_only:
            queries, padding_mask = queries[:, :1], padding_mask[:, :1]
        weights = []
        for layer in cast(nn.ModuleList, self.layers[name]):
            queries, of_layer = layer(
                queries, projected[told], encoded[told][1], need_weights=attention is not None
            )
            weights.append(of_layer)
        if attention is not None:
            by_layer = torch.stack(weights, dim=1)  # (B, layers, H, T_q, T_k)
            attention[name] = by_layer.masked_fill(padding_mask[:, None, None, :, None], 0.0)
        return self.final_norm[name](queries), padding_mask


def _projection(width: int, fusion_dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, fusion_dim), LayerNorm(fusion_dim))


def _pair_name(pair: tuple[str, str]) -> str:
    return f"{pair[0]}_from_{pair[1]}"
