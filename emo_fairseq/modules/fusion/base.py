"""Base class of the fusions, and how they pool modalities and represent missing ones."""

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from emo_fairseq.modules.pooling import POOLING_WEIGHTS, Pooling

Encoded = Mapping[str, tuple[Tensor, Tensor]]
Attention = dict[str, Tensor]


class Fusion(nn.Module):
    """Fuse the features of all modalities into one vector per row. Base class.

    A row whose mask is all padding lacks that modality. Values in padding, and so those of a
    missing modality, have no influence and no gradient.

    Attributes:
        output_dim: D.
    """

    output_dim: int

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        """Fuse a batch.

        Args:
            encoded: for each modality features (B, T, C) and padding mask (B, T), True = padding.
            attention: if given, attention weights are stored in it, detached and 0 at padding:
                `text_from_speech` (B, layers, H, T_text, T_speech) of text attending to speech,
                and `text` (B, T) of an attention pooling.

        Returns:
            Fused vectors (B, D).
        """
        raise NotImplementedError

    def forward_with_parts(
        self, encoded: Encoded, attention: Attention | None = None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Fuse a batch, and return what terms of the loss read, (B, ...) by name; often nothing."""
        return self(encoded, attention), {}


def pool(
    pooler: nn.Module,
    features: Tensor,
    padding_mask: Tensor,
    attention: Attention | None,
    weights_name: str,
) -> tuple[Tensor, Tensor]:
    """Pool one modality.

    Args:
        pooler: a :class:`~emo_fairseq.modules.pooling.Pooling`.
        features: (B, T, C).
        padding_mask: (B, T), True = padding.
        attention: if given, the weights of the pooling are stored in it.
        weights_name: key of the weights.

    Returns:
        Pooled vectors (B, C); and (B, 1), True where the row is all padding.
    """
    weights: Attention | None = None if attention is None else {}
    summary = pooler(features, padding_mask, weights)
    if attention is not None and weights:
        attention[weights_name] = weights[POOLING_WEIGHTS]
    return summary, padding_mask.all(dim=1, keepdim=True)


def pool_modalities(
    poolers: nn.ModuleDict, encoded: Encoded, attention: Attention | None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Pool each modality by :func:`pool`: vectors (B, C), and (B, 1) True where a row lacks it."""
    return {
        name: pool(pooler, *encoded[name], attention, weights_name=name)
        for name, pooler in poolers.items()
    }


def fill_missing(summary: Tensor, absent: Tensor, vector: Tensor) -> Tensor:
    """Replace the absent rows (B, 1) of a summary (B, C) by a vector (C,)."""
    return torch.where(absent, vector.to(summary.dtype), summary)


def missing_vectors(dims: Mapping[str, int]) -> nn.ParameterDict:
    """Return a learned vector of each given width, in the order of the mapping."""
    # A ParameterDict sorts the keys of a plain dict, and the parts of the fused vector with them.
    return nn.ParameterDict(
        OrderedDict((name, nn.Parameter(torch.zeros(dim))) for name, dim in dims.items())
    )


class Candidates(nn.Module):
    """Pool each modality and project it to a common width, for fusions by a weighted sum.

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
        """Pool and project each modality.

        Returns:
            The pooled vectors, concatenated, (B, sum of C), 0 where a modality is missing; the
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
