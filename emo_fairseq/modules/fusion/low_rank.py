"""Low-rank multimodal fusion: every product of one element of each modality, in few parameters."""

from collections import OrderedDict
from collections.abc import Mapping
from functools import reduce

import torch
from fairseq.modules import LayerNorm
from torch import Tensor, nn

from emo_fairseq.modules.fusion.base import Attention, Encoded, Fusion, pool_modalities
from emo_fairseq.modules.pooling import Pooling


class LowRankFusion(Fusion):
    """Map the outer product of all modalities' vectors linearly, as a sum of rank-one maps.

    Liu et al. 2018, "Efficient Low-rank Multimodal Fusion with Modality-Specific Factors", with
    the rank weights and the bias of the authors' code: z being a modality's vector with a constant
    1 appended, F_r its factor of rank r, and * element by element,

        fused = sum over r of weight_r (F_r z of text * F_r z of speech * ...) + bias.

    The constant 1 (the last row of each factor, a bias for each rank) adds the products of fewer
    modalities, down to single ones. A missing modality is a zero vector with its 1: it multiplies
    by that learned bias, and the products of the others remain.

    Vectors are layer-normalized first, where the paper has batch normalization in its encoders: a
    product of three would grow with the cube of their scale. At the start the biases of the
    factors are 1, so that a missing modality changes nothing of the rest, and fused vectors have
    mean 0 and variance 1, whatever the number of modalities, the rank and the widths.

    Args:
        poolers: of each modality.
        fusion_dim: D.
        rank: R.
        dropout: on the pooled vectors.

    >>> from emo_fairseq.modules.pooling import MeanPooling
    >>> poolers = {"text": MeanPooling(8), "speech": MeanPooling(8)}
    >>> fusion = LowRankFusion(poolers, 16, rank=4, dropout=0.1)
    >>> encoded = {name: (torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool))
    ...            for name in ("text", "speech")}
    >>> fusion(encoded).shape
    torch.Size([2, 16])
    """

    def __init__(
        self, poolers: Mapping[str, Pooling], fusion_dim: int, rank: int, dropout: float
    ) -> None:
        super().__init__()
        dims = {name: part.output_dim for name, part in poolers.items()}
        self.poolers = nn.ModuleDict(dict(poolers))
        self.norm = nn.ModuleDict({name: LayerNorm(dim) for name, dim in dims.items()})
        # A product of M independent 1 + x has variance (1 + v) ^ M - 1, v that of x: let it be 1.
        variance = 2 ** (1 / len(dims)) - 1
        self.factors = nn.ParameterDict(
            OrderedDict(
                (name, _factor(rank, dim, fusion_dim, variance)) for name, dim in dims.items()
            )
        )
        self.rank_weights = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.full((fusion_dim,), -(rank**0.5)))  # less the product of 1s
        self.dropout = nn.Dropout(dropout)
        self.output_dim = fusion_dim

    def forward(self, encoded: Encoded, attention: Attention | None = None) -> Tensor:
        projections = []  # (B, R, D) of each modality
        for name, (summary, absent) in pool_modalities(self.poolers, encoded, attention).items():
            vector = self.dropout(self.norm[name](summary).masked_fill(absent, 0.0))
            with_one = nn.functional.pad(vector, (0, 1), value=1.0)  # B x C -> B x (C + 1)
            projections.append(torch.einsum("bc,rcd->brd", with_one, self.factors[name]))
        product = reduce(torch.mul, projections)
        return torch.einsum("r,brd->bd", self.rank_weights, product) + self.bias


def _factor(rank: int, dim: int, fusion_dim: int, variance: float) -> nn.Parameter:
    """Return (R, C + 1, D), which maps vectors of variance 1 to 1 + x, x of the given variance."""
    factor = torch.ones(rank, dim + 1, fusion_dim)
    factor[:, :dim].normal_(std=(variance / dim) ** 0.5)
    return nn.Parameter(factor)
