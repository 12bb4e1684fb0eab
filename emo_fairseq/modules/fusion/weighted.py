"""What the fusions share whose output is a weighted sum of the modalities."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import Attention, Encoded, pool_modalities
from emo_fairseq.modules.pooling import Pooling


class Candidates(nn.Module):
    """Each modality pooled, and projected to a common width: what there is to weigh.

    Args:
        poolers: of each modality; their order is that of the M candidates.
        fusion_dim: D.
        dropout: on the pooled vectors.
    """

    def __init__(self, poolers: Mapping[str, Pooling], fusion_dim: int, dropout: float) -> None:
        super().__init__()
        self.poolers = nn.ModuleDict(dict(poolers))
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(part.output_dim, fusion_dim), nn.Tanh())
                for name, part in poolers.items()
            }
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, encoded: Encoded, attention: Attention | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Pool and project.

        Returns:
            The pooled vectors side by side (B, sum of C), 0 where a modality is missing; the
            candidates (B, M, D); and (B, M, 1), True where a modality is missing.
        """
        pooled = pool_modalities(self.poolers, encoded, attention)
        vectors = {
            name: self.dropout(summary.masked_fill(absent, 0.0))
            for name, (summary, absent) in pooled.items()
        }
        candidates = [project(vectors[name]) for name, project in self.project.items()]
        absences = [absent for _, absent in pooled.values()]
        return (
            torch.cat(list(vectors.values()), dim=1),
            torch.stack(candidates, dim=1),
            torch.stack(absences, dim=1),
        )
