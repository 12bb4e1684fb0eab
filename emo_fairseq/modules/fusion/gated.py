"""Gated multimodal units: each output chooses, by all that is known, to whom it listens."""

from collections.abc import Mapping

from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import (
    Attention,
    Candidates,
    Encoded,
    Fusion,
)
from emo_fairseq.modules.pooling import Pooling, masked_softmax


class GatedFusion(Fusion):
    """The sum of gate x tanh(W x) over the modalities, with gates of all D outputs.

    Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", where the two gates of
    a bimodal unit are z and 1 - z, z a sigmoid of all modalities' vectors. A softmax over the
    modalities is that for two, and keeps the gates' sum at 1 for more of them; the paper's own unit
    for more has unrelated sigmoids, whose sum would fall with every modality that is missing.

    The gates of a missing modality are 0, those of the others share its part; in the gates' input
    it is a zero vector. A row without any modality becomes zeros.

    Args:
        poolers: of each modality.
        fusion_dim: D.
        dropout: on the pooled vectors.
    """

    def __init__(self, poolers: Mapping[str, Pooling], fusion_dim: int, dropout: float) -> None:
        super().__init__()
        self.candidates = Candidates(poolers, fusion_dim, dropout)
        total = sum(part.output_dim for part in poolers.values())
        self.gate = nn.Linear(total, len(poolers) * fusion_dim)
        self.output_dim = fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        everything, candidates, absent = self.candidates(encoded, attention)
        scores = self.gate(everything).view(candidates.shape)  # B x M D -> B x M x D
        gates = masked_softmax(scores, absent, dim=1)
        return (gates.to(candidates.dtype) * candidates).sum(dim=1)
