"""Token-level fusion: cross-attention between each ordered pair of modalities."""

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
    """Attend from each modality to every other one, pool, and concatenate.

    In the pair `text_from_speech`, the tokens of the text are the queries, and the frames of speech
    are keys and values. Where the modality of the queries is missing, a learned vector replaces the
    pooled output; where that of the keys is missing, the queries are only projected and normalized.

    If `attention` is collected, the weights of an attention pooling are stored as
    `text_from_speech_pooling`, since it pools the attended queries and not the text itself.

    Args:
        embed_dims: C of each modality, at least two.
        pooling: for each modality, builds the pooling of its attended queries; called with
            `fusion_dim` once for each pair in which the modality provides the queries.
        fusion_dim: width to which all are projected.
        n_layers: cross-attention layers for each ordered pair.
        n_heads: attention heads; must divide `fusion_dim`.
        dropout: after attention and feed-forward.
        attention_dropout: on the attention weights.
        first_token_only: use only the first token of a modality as a query, so that the pooling
            has only this one as its input.
        ffn: add a feed-forward layer of 4 x `fusion_dim` after each attention.

    Raises:
        ValueError: there is only one modality.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> fusion = CrossAttentionFusion(
    ...     {"text": 8, "speech": 6}, {"text": MeanPooling, "speech": MeanPooling}, fusion_dim=16,
    ...     n_layers=1, n_heads=2, dropout=0.1, attention_dropout=0.1, first_token_only=False)
    >>> encoded = {"text": (torch.randn(2, 4, 8), torch.zeros(2, 4, dtype=torch.bool)),
    ...            "speech": (torch.randn(2, 9, 6), torch.zeros(2, 9, dtype=torch.bool))}
    >>> attention = {}
    >>> fusion(encoded, attention).shape, attention["text_from_speech"].shape
    (torch.Size([2, 32]), torch.Size([2, 1, 2, 4, 9]))
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
                "cross-attention needs two or more modalities, and there is only "
                f"{', '.join(embed_dims)}: add one, or use another fusion"
            )
        self.first_token_only = first_token_only
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(width, fusion_dim), LayerNorm(fusion_dim))
                for name, width in embed_dims.items()
            }
        )
        self.pairs = [(query, key) for query in embed_dims for key in embed_dims if query != key]
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
        summaries = []
        for pair in self.pairs:
            name = _pair_name(pair)
            queries, padding_mask = self._attend(pair, projected, encoded, attention)
            pooler = self.poolers[name]
            pooled = pool(pooler, queries, padding_mask, attention, f"{name}_pooling")
            summaries.append(fill_missing(*pooled, self.missing[name]))
        return torch.cat(summaries, dim=1)

    def _attend(
        self,
        pair: tuple[str, str],
        projected: Mapping[str, Tensor],
        encoded: Encoded,
        attention: Attention | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the attended queries (B, T_q, fusion_dim) of a pair, and their padding mask."""
        name, (query_name, key_name) = _pair_name(pair), pair
        queries, padding_mask = projected[query_name], encoded[query_name][1]
        keys, keys_padding_mask = projected[key_name], encoded[key_name][1]
        if self.first_token_only:
            queries, padding_mask = queries[:, :1], padding_mask[:, :1]
        weights = []
        for layer in cast(nn.ModuleList, self.layers[name]):
            queries, layer_weights = layer(
                queries, keys, keys_padding_mask, need_weights=attention is not None
            )
            weights.append(layer_weights)
        if attention is not None:
            by_layer = torch.stack(weights, dim=1)  # (B, layers, H, T_q, T_k)
            attention[name] = by_layer.masked_fill(padding_mask[:, None, None, :, None], 0.0)
        return self.final_norm[name](queries), padding_mask


def _pair_name(pair: tuple[str, str]) -> str:
    return f"{pair[0]}_from_{pair[1]}"
