"""Fusion for missing modalities: those that are there share the weight."""

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
    """The sum of weight x tanh(W x) over the modalities that are there, plus who is not.

    Each modality scores itself, by its own content; a softmax over those present makes weights of
    the scores, one a modality and row. So what a missing modality leaves behind is shared in the
    ratio in which the others stood already. A learned vector for each one that is missing is added
    to the output: what follows can tell a row without speech from one whose speech says little.

    This is what a gated fusion does not do: its gates are functions of all modalities together,
    one for each output, so they fit their weights to each other more closely, but the zeros of a
    missing modality move them all, and absence is not told to what follows. Train it with
    :func:`emo_fairseq.modules.modality_dropout.drop_modalities`, or the vectors for what is missing
    learn from the corpus' own gaps alone.

    A row without any modality becomes the sum of these vectors.

    Args:
        poolers: of each modality.
        fusion_dim: D.
        dropout: on the pooled vectors.
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
