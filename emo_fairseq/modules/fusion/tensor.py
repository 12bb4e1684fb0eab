"""Tensor fusion: every product of one element of each modality, with a weight of its own."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import Attention, Candidates, Encoded, Fusion
from emo_fairseq.modules.pooling import Pooling


class TensorFusion(Fusion):
    """Map the outer product of all modalities' vectors, a constant 1 appended to each, linearly.

    Zadeh et al. 2017, "Tensor Fusion Network for Multimodal Sentiment Analysis" (arXiv:1707.07250).
    The vectors are narrow: there are (`factor_dim` + 1) ^ M products of M modalities, each with D
    weights. :class:`LowRankFusion` is the same map in fewer parameters.

    The subnetwork of a modality, of one to three ReLU layers in the paper, is a linear layer and
    tanh here, which bounds the products. A missing modality is a zero vector with its 1, so that
    the products of the others remain.

    Args:
        poolers: of each modality.
        factor_dim: width of each modality's vector in the product.
        fusion_dim: D.
        dropout: on the pooled vectors, and on the products.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> poolers = {"text": MeanPooling(8), "speech": MeanPooling(8)}
    >>> fusion = TensorFusion(poolers, factor_dim=4, fusion_dim=16, dropout=0.1)
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fusion(encoded).shape, fusion.output.in_features
    (torch.Size([2, 16]), 25)
    """

    def __init__(
        self, poolers: Mapping[str, Pooling], factor_dim: int, fusion_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.candidates = Candidates(poolers, factor_dim, dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear((factor_dim + 1) ** len(poolers), fusion_dim)
        self.output_dim = fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        _, candidates, absent = self.candidates(encoded, attention)
        vectors = nn.functional.pad(candidates.masked_fill(absent, 0.0), (0, 1), value=1.0)
        product, *others = vectors.unbind(dim=1)
        for vector in others:
            product = torch.einsum("bp,bc->bpc", product, vector).flatten(1)
        fused: Tensor = self.output(self.dropout(product))
        return fused
