"""What every fusion is, and how all of them treat a modality that a row lacks."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.pooling import POOLING_WEIGHTS, Pooling

Encoded = Mapping[str, tuple[Tensor, Tensor]]
Attention = dict[str, Tensor]


class Fusion(nn.Module):
    """Turns the features of all modalities into one vector a row.

    A row whose mask is all padding lacks that modality. Whatever stands in padding, and in a
    missing modality, has no influence and no gradient.

    Attributes:
        output_dim: D.
    """

    output_dim: int

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        """Fuse.

        Args:
            encoded: for each modality features (B, T, C) and padding mask (B, T), True = padding.
            attention: if given, it is filled, without gradients: `text_from_speech`
                (B, layers, H, T_text, T_speech) where tokens of the text attend to speech, and
                `text` (B, T) where attention pools it; 0 at padding.

        Returns:
            (B, D).
        """
        raise NotImplementedError


def pool(
    pooler: nn.Module,
    features: Tensor,
    padding_mask: Tensor,
    attention: Attention | None,
    weights_name: str,
) -> tuple[Tensor, Tensor]:
    """Pool one sequence: its vector (B, C), and (B, 1) True where there is nothing to pool."""
    weights: Attention | None = None if attention is None else {}
    summary = pooler(features, padding_mask, weights)
    if attention is not None and weights:
        attention[weights_name] = weights[POOLING_WEIGHTS]
    return summary, padding_mask.all(dim=1, keepdim=True)


def pool_modalities(
    poolers: nn.ModuleDict, encoded: Encoded, attention: Attention | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Pool each modality: its vector (B, C), and (B, 1) True where a row lacks it."""
    return {
        name: pool(pooler, *encoded[name], attention, weights_name=name)
        for name, pooler in poolers.items()
    }


def fill_missing(summary: Tensor, absent: Tensor, vector: Tensor) -> Tensor:
    """(B, C) with the vector (C,) in place of the absent rows."""
    return torch.where(absent, vector.to(summary.dtype), summary)


def missing_vectors(dims: Mapping[str, int]) -> nn.ParameterDict:
    """Learned vectors of the given widths, in the order of the mapping."""
    # An OrderedDict: a ParameterDict would sort the names of a plain one, and the fused vector.
    return nn.ParameterDict(
        OrderedDict((name, nn.Parameter(torch.zeros(dim))) for name, dim in dims.items())
    )


# -- What the fusions share whose output is a weighted sum of the modalities -----------------------


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
