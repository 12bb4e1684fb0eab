"""Gated fusion: a sum of the modalities with one gate per modality and output."""

from collections.abc import Mapping

from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import Attention, Candidates, Encoded, Fusion
from emo_fairseq.modules.pooling import Pooling, masked_softmax


class GatedFusion(Fusion):
    """Sum gate x tanh(W x) over the modalities, with a gate for each of the D outputs.

    Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", where the two gates of
    a bimodal unit are z and 1 - z, z a sigmoid of all modalities' vectors. A softmax over the
    modalities equals that for two modalities, and keeps the sum of the gates at 1 for more; the
    paper's unit for more has independent sigmoids, whose sum falls with each missing modality.

    The gates of a missing modality are 0, and those of the others sum to 1; in the input of the
    gates it is a zero vector. A row without any modality becomes zeros.

    Args:
        poolers: of each modality.
        fusion_dim: D.
        dropout: on the pooled vectors.

    >>> import torch
    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> fusion = GatedFusion({"text": MeanPooling(8), "speech": MeanPooling(8)}, 16, dropout=0.1)
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fusion(encoded).shape
    torch.Size([2, 16])
    """

    def __init__(self, poolers: Mapping[str, Pooling], fusion_dim: int, dropout: float) -> None:
        super().__init__()
        self.candidates = Candidates(poolers, fusion_dim, dropout)
        total = sum(part.output_dim for part in poolers.values())
        self.gate = nn.Linear(total, len(poolers) * fusion_dim)
        self.output_dim = fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        pooled, candidates, absent = self.candidates(encoded, attention)
        scores = self.gate(pooled).view(candidates.shape)  # B x M D -> B x M x D
        gates = masked_softmax(scores, absent, dim=1)
        return (gates.to(candidates.dtype) * candidates).sum(dim=1)
