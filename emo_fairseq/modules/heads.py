"""Heads: from the fused vector to the embedding, and from the embedding to logits."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from emo_fairseq.modules.standardization import Standardization

TANH = "tanh"


def _unchanged(embedding: Tensor) -> Tensor:
    return embedding


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {  # --embedding-activation
    TANH: torch.tanh,
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "none": _unchanged,
}


class EmbeddingLayer(nn.Module):
    """Apply dropout, a dense layer and an activation, as RoBERTa's classification head does.

    Args:
        input_dim: D, width of the fused vector.
        embedding_dim: E.
        dropout: on the input.
        standardizes: whether the input is standardized first.
        activation: one of :data:`ACTIVATIONS`; RoBERTa's is tanh.
    """

    def __init__(
        self,
        input_dim: int,
        embedding_dim: int,
        dropout: float,
        standardizes: bool = False,
        activation: str = TANH,
    ) -> None:
        super().__init__()
        self.standardize = Standardization(input_dim) if standardizes else None
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(input_dim, embedding_dim)
        self.activation = activation
        self.output_dim = embedding_dim

    def forward(self, fused: Tensor) -> Tensor:
        """Map fused vectors (B, D) to embeddings (B, E)."""
        if self.standardize is not None:
            fused = self.standardize(fused)
        return ACTIVATIONS[self.activation](self.dense(self.dropout(fused)))


class FusedEmbedding(nn.Module):
    """Return the fused vector itself, so that the head after it is a linear model of it.

    Args:
        input_dim: D, width of the fused vector, and of the embedding.
        standardizes: whether the vector is standardized.
    """

    def __init__(self, input_dim: int, standardizes: bool = False) -> None:
        super().__init__()
        self.standardize = Standardization(input_dim) if standardizes else None
        self.output_dim = input_dim

    def forward(self, fused: Tensor) -> Tensor:
        """Return the fused vectors (B, D)."""
        return fused if self.standardize is None else self.standardize(fused)


class LinearHead(nn.Module):
    """Apply dropout and a linear layer to the embedding.

    Args:
        embedding_dim: E.
        n_outputs: K for logits of K classes, 2K for K pairs (no, yes), A for values of A axes; 0
            where nothing is predicted.
        dropout: on the input.
    """

    def __init__(self, embedding_dim: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        # torch warns of weights that have no element to be drawn.
        make = nn.Linear if n_outputs else partial(skip_init, nn.Linear)
        self.out_proj: nn.Linear = make(embedding_dim, n_outputs)

    def start_at(self, mean: Tensor, std: Tensor) -> None:
        """Let outputs of numbers begin at the mean of the truth, and vary by its spread.

        Without this, a head learns the scale of its targets first, and its outputs scatter more
        than the truth for long.

        Args:
            mean: (A,) of each axis; NaN leaves an axis as it is.
            std: (A,), the standard deviation, by which the random weights of an axis are scaled; 0
                leaves them as they are.
        """
        known, varies = mean.isfinite(), std > 0  # NaN is neither
        with torch.no_grad():
            self.out_proj.bias[known] = mean[known].to(self.out_proj.bias.dtype)
            scale = torch.where(varies, std, 1.0).to(self.out_proj.weight.dtype)
            self.out_proj.weight.mul_(scale[:, None])

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings (B, E) to outputs (B, n_outputs)."""
        return self.out_proj(self.dropout(embedding))


class ProjectionHead(nn.Module):
    """Project embeddings for a contrastive loss by linear, ReLU, linear, or by one linear layer.

    Khosla et al. 2020, "Supervised contrastive learning". The head is discarded after training.
    Its output is not normalized, since the loss normalizes it.

    Args:
        embedding_dim: E.
        hidden_dim: width of the hidden layer, in SupCon that of the embedding; None = one linear
            layer.
        output_dim: P, 128 in SupCon.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int | None, output_dim: int) -> None:
        super().__init__()
        self.hidden = None if hidden_dim is None else nn.Linear(embedding_dim, hidden_dim)
        last_dim = embedding_dim if hidden_dim is None else hidden_dim
        self.out_proj = nn.Linear(last_dim, output_dim)

    def forward(self, embedding: Tensor) -> Tensor:
        """Map embeddings (B, E) to projections (B, P)."""
        if self.hidden is not None:
            embedding = self.hidden(embedding).relu()  # (B, hidden_dim)
        return self.out_proj(embedding)


class MaskedTokenHead(nn.Module):
    """Predict masked tokens by the embeddings of all tokens, as RoBERTa's language model head does.

    Linear, GELU, layer norm, then the dot product with each embedding and a bias.

    Args:
        input_dim: C, width of the features.
        embed_dim: E, width of the embeddings.
        n_symbols: V.
    """

    def __init__(self, input_dim: int, embed_dim: int, n_symbols: int) -> None:
        super().__init__()
        self.dense = nn.Linear(input_dim, embed_dim)
        self.layer_norm = nn.LayerNorm(embed_dim)
        self.bias = nn.Parameter(torch.zeros(n_symbols))

    def forward(self, features: Tensor, embeddings: Tensor) -> Tensor:
        """Map features (M, C) to logits (M, V), with the embeddings (V, E) of the encoder."""
        hidden = nn.functional.gelu(self.dense(features.to(self.dense.weight.dtype)))
        hidden = self.layer_norm(hidden)  # (M, E)
        return nn.functional.linear(hidden, embeddings.to(hidden.dtype), self.bias)
