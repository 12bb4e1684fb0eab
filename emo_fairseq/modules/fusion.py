"""Fusions: {modality: (features (B, T, C), padding_mask (B, T))} -> (B, D).

A row whose mask is all padding lacks that modality. Each fusion puts a learned vector in the
place of what it would have said, so that absence is told apart from silence.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import cast

import torch
from fairseq.modules import LayerNorm
from torch import Tensor, nn

from emo_fairseq.modules.cross_attention import CrossAttentionLayer
from emo_fairseq.modules.pooling import masked_mean

Encoded = Mapping[str, tuple[Tensor, Tensor]]


class Fusion(nn.Module):
    """What every fusion is.

    Attributes:
        output_dim: D.
    """

    output_dim: int

    def forward(self, encoded: Encoded) -> Tensor:
        """Fuse: one (B, D) vector a row."""
        raise NotImplementedError


class ConcatFusion(Fusion):
    """Shallow fusion: each modality pooled by itself, then concatenated.

    Args:
        embed_dims: C of each modality.
        pool_first: take the first token (``<s>``) of these modalities, the mean of the others.
    """

    def __init__(self, embed_dims: Mapping[str, int], pool_first: frozenset[str]) -> None:
        super().__init__()
        self.pool_first = pool_first
        self.missing = _missing_vectors(embed_dims)
        self.output_dim = sum(embed_dims.values())

    def forward(self, encoded: Encoded) -> Tensor:
        return _concatenate(encoded, self.missing, self.pool_first)


class CrossAttentionFusion(Fusion):
    """Token-level fusion: each modality's tokens query all frames of every other one.

    Args:
        embed_dims: C of each modality, at least two.
        fusion_dim: width to which all are projected.
        n_layers: cross-attention layers for each ordered pair.
        n_heads: attention heads; must divide `fusion_dim`.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.
        first_token_only: only the first token of a modality asks, instead of all of them.

    What the queries of modality m have learned from each other modality is pooled and
    concatenated: D = fusion_dim x number of ordered pairs.
    """

    def __init__(
        self,
        embed_dims: Mapping[str, int],
        fusion_dim: int,
        n_layers: int,
        n_heads: int,
        dropout: float,
        attention_dropout: float,
        first_token_only: bool,
    ) -> None:
        super().__init__()
        self.first_token_only = first_token_only
        self.project = nn.ModuleDict(
            {name: _projection(width, fusion_dim) for name, width in embed_dims.items()}
        )
        self.pairs = [(asks, told) for asks in embed_dims for told in embed_dims if asks != told]
        self.layers = nn.ModuleDict(
            {
                _pair_name(pair): nn.ModuleList(
                    CrossAttentionLayer(
                        fusion_dim, 4 * fusion_dim, n_heads, dropout, attention_dropout
                    )
                    for _ in range(n_layers)
                )
                for pair in self.pairs
            }
        )
        self.final_norm = nn.ModuleDict({_pair_name(p): LayerNorm(fusion_dim) for p in self.pairs})
        self.missing = _missing_vectors({_pair_name(p): fusion_dim for p in self.pairs})
        self.output_dim = fusion_dim * len(self.pairs)

    def forward(self, encoded: Encoded) -> Tensor:
        projected = {name: self.project[name](encoded[name][0]) for name in self.project}
        asked = {}
        for pair in self.pairs:
            asks, told = pair
            queries, mask = projected[asks], encoded[asks][1]
            if self.first_token_only:
                queries, mask = queries[:, :1], mask[:, :1]
            for layer in cast(nn.ModuleList, self.layers[_pair_name(pair)]):
                queries = layer(queries, projected[told], encoded[told][1])
            asked[_pair_name(pair)] = (self.final_norm[_pair_name(pair)](queries), mask)
        return _concatenate(asked, self.missing, frozenset())


def _concatenate(encoded: Encoded, missing: nn.ParameterDict, pool_first: frozenset[str]) -> Tensor:
    """Pool each entry, put its missing vector where it is all padding, concatenate: (B, D)."""
    pooled = []
    for name, vector in missing.items():
        features, padding_mask = encoded[name]
        summary = features[:, 0] if name in pool_first else masked_mean(features, padding_mask)
        absent = padding_mask.all(dim=1, keepdim=True)  # (B, 1)
        pooled.append(torch.where(absent, vector.to(summary.dtype), summary))
    return torch.cat(pooled, dim=1)


def _missing_vectors(dims: Mapping[str, int]) -> nn.ParameterDict:
    # An OrderedDict: a ParameterDict would sort the names of a plain one, and the fused vector.
    return nn.ParameterDict(
        OrderedDict((name, nn.Parameter(torch.zeros(dim))) for name, dim in dims.items())
    )


def _projection(width: int, fusion_dim: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, fusion_dim), LayerNorm(fusion_dim))


def _pair_name(pair: tuple[str, str]) -> str:
    return f"{pair[0]}_from_{pair[1]}"
