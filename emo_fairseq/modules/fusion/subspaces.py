"""Shared and private subspaces of the modalities, which attend to each other."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from emo_fairseq.modules.cross_attention import CrossAttentionLayer
from emo_fairseq.modules.fusion.base import (
    Attention,
    Candidates,
    Encoded,
    Fusion,
    fill_missing,
    missing_vectors,
)
from emo_fairseq.modules.pooling import Pooling


class SubspaceFusion(Fusion):
    """Map each modality to a shared and a private vector, apply self-attention, and concatenate.

    Hazarika et al. 2020, "MISA: Modality-Invariant and -Specific Representations for Multimodal
    Sentiment Analysis" (arXiv:2005.03545). The shared vectors of all modalities come from one
    layer, which the term :class:`emo_fairseq.criterions.terms.subspaces.Subspaces` draws together;
    it keeps the private ones apart from them, and lets both reconstruct the modality. One layer of
    self-attention over the 2M vectors is pre-norm here. In the projection, tanh stands in the place
    of ReLU and layer norm.

    A missing modality is attended to by none, and a learned vector replaces its two outputs.

    Args:
        poolers: of each modality.
        fusion_dim: d, width of each vector; the output is 2 M d wide.
        n_heads: of the attention; must divide d.
        dropout: on the pooled vectors, and in the layer.
        attention_dropout: on the attention weights.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> poolers = {"text": MeanPooling(8), "speech": MeanPooling(8)}
    >>> fusion = SubspaceFusion(poolers, 16, n_heads=2, dropout=0.1, attention_dropout=0.1)
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fused, parts = fusion.forward_with_parts(encoded)
    >>> fused.shape, parts["shared"].shape
    (torch.Size([2, 64]), torch.Size([2, 2, 16]))
    """

    def __init__(
        self,
        poolers: Mapping[str, Pooling],
        fusion_dim: int,
        n_heads: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.candidates = Candidates(poolers, fusion_dim, dropout)
        self.shared = nn.Linear(fusion_dim, fusion_dim)
        self.private = _linear_of_each(poolers, fusion_dim)
        self.reconstruct = _linear_of_each(poolers, fusion_dim)
        self.layer = CrossAttentionLayer(
            fusion_dim, 4 * fusion_dim, n_heads, dropout, attention_dropout
        )
        self.missing = missing_vectors(dict.fromkeys(poolers, 2 * fusion_dim))
        self.output_dim = 2 * len(poolers) * fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        return self.forward_with_parts(encoded, attention)[0]

    def forward_with_parts(
        self, encoded: Encoded, attention: Attention | None = None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Fuse a batch, and return the vectors from which the output comes.

        Args:
            encoded: see :meth:`Fusion.forward`.
            attention: likewise.

        Returns:
            Fused vectors; and ``shared``, ``private``, ``projected`` and ``reconstructed``,
            (B, M, d) each, with ``absent`` (B, M), True where a row lacks a modality.
        """
        _, projected, absent = self.candidates(encoded, attention)
        shared = self.shared(projected).sigmoid()
        private = _apply(self.private, projected).sigmoid()
        vectors = torch.stack([private, shared], dim=2)  # B x M x 2 x d
        is_absent = absent.expand(-1, -1, 2).flatten(1)  # B x 2M
        attended, _ = self.layer(vectors.flatten(1, 2), vectors.flatten(1, 2), is_absent)
        outputs = attended.unflatten(1, (-1, 2)).flatten(2)  # B x M x 2d
        filled = [
            fill_missing(outputs[:, number], absent[:, number], vector)
            for number, vector in enumerate(self.missing.values())
        ]
        parts = {
            "shared": shared,
            "private": private,
            "projected": projected,
            "reconstructed": _apply(self.reconstruct, shared + private),
            "absent": absent[:, :, 0],
        }
        return torch.cat(filled, dim=1), parts


def _linear_of_each(names: Mapping[str, Pooling], width: int) -> nn.ModuleDict:
    return nn.ModuleDict({name: nn.Linear(width, width) for name in names})


def _apply(layers: nn.ModuleDict, vectors: Tensor) -> Tensor:
    """Apply the layer of each modality to its vector: (B, M, d) -> (B, M, d)."""
    pairs = zip(layers.values(), vectors.unbind(dim=1), strict=True)
    return torch.stack([cast(Tensor, layer(vector)) for layer, vector in pairs], dim=1)
