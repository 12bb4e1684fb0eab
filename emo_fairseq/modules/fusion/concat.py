"""Shallow fusion: concatenation of the pooled modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import (
    Attention,
    Encoded,
    Fusion,
    fill_missing,
    missing_vectors,
    pool_modalities,
)
from emo_fairseq.modules.pooling import Pooling


class ConcatFusion(Fusion):
    """Concatenate the pooled modalities, with a learned vector for each missing one.

    Args:
        poolers: of each modality, in the order of concatenation.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> fusion = ConcatFusion({"text": MeanPooling(8), "speech": MeanPooling(8)})
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fusion(encoded).shape
    torch.Size([2, 16])
    """

    def __init__(self, poolers: Mapping[str, Pooling]) -> None:
        super().__init__()
        self.poolers = nn.ModuleDict(dict(poolers))
        self.missing = missing_vectors({name: part.output_dim for name, part in poolers.items()})
        self.output_dim = sum(part.output_dim for part in poolers.values())

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        pooled = pool_modalities(self.poolers, encoded, attention)
        parts = [fill_missing(*pooled[name], vector) for name, vector in self.missing.items()]
        return torch.cat(parts, dim=1)
