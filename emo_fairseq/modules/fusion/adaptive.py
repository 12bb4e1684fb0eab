"""Adaptive fusion: a weighted sum of the modalities that are present."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import (
    Attention,
    Candidates,
    Encoded,
    Fusion,
    missing_vectors,
)
from emo_fairseq.modules.pooling import Pooling, masked_softmax


class AdaptiveFusion(Fusion):
    """Sum weight x tanh(W x) over the modalities present, plus a vector for each missing one.

    The score of a modality depends on its own content alone, and a softmax over the modalities
    present gives one weight per modality and row. If a modality is missing, the ratio of the other
    weights is unchanged. A learned vector for each missing modality is added to the output, so that
    the layers after it can distinguish a missing modality from an uninformative one.

    In :class:`GatedFusion`, in contrast, the gates depend on all modalities, one gate per output:
    weights can adapt to each other, but a missing modality changes all of them, and its absence is
    not represented. Train with :func:`emo_fairseq.modules.modality_dropout.drop_modalities`:
    otherwise the vectors of missing modalities are only learned from rows that lack them.

    A row without any modality becomes the sum of these vectors.

    Args:
        poolers: of each modality.
        fusion_dim: D.
        dropout: on the pooled vectors.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> fusion = AdaptiveFusion({"text": MeanPooling(8), "speech": MeanPooling(8)}, 16, dropout=0.1)
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fusion(encoded).shape
    torch.Size([2, 16])
    """

    def __init__(self, poolers: Mapping[str, Pooling], fusion_dim: int, dropout: float) -> None:
        super().__init__()
        self.candidates = Candidates(poolers, fusion_dim, dropout)
        self.score = nn.ModuleDict({name: nn.Linear(fusion_dim, 1) for name in poolers})
        self.missing = missing_vectors(dict.fromkeys(poolers, fusion_dim))
        self.output_dim = fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        _, candidates, absent = self.candidates(encoded, attention)
        scores = torch.stack(
            [score(candidates[:, m]) for m, score in enumerate(self.score.values())], dim=1
        )
        weights = masked_softmax(scores, absent, dim=1)  # (B, M, 1)
        missing = torch.stack(list(self.missing.values())) * absent  # M x D, B x M x 1 -> B x M x D
        return (weights.to(candidates.dtype) * candidates + missing.to(candidates.dtype)).sum(dim=1)
