"""Heads: from the fused vector to the embedding, from there to logits or to a projection."""

from torch import Tensor, nn


class EmbeddingLayer(nn.Module):
    """Dense layer and tanh, as RoBERTa's classification head has it.

    Args:
        input_dim: D, width of the fused vector.
        embedding_dim: E.
        dropout: on the input.
    """

    def __init__(self, input_dim: int, embedding_dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(input_dim, embedding_dim)

    def forward(self, fused: Tensor) -> Tensor:
        """(B, D) -> (B, E), each element in [-1, 1]."""
        return self.dense(self.dropout(fused)).tanh()


class LinearHead(nn.Module):
    """Logits of K classes, of K pairs (no, yes), or values of A axes: the width tells.

    Args:
        embedding_dim: E.
        n_outputs: width of the output.
        dropout: on the input.
    """

    def __init__(self, embedding_dim: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(embedding_dim, n_outputs)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) -> (B, n_outputs)."""
        return self.out_proj(self.dropout(embedding))


# -- From the embedding to the vectors a contrastive loss compares; thrown away after training -----


class ProjectionHead(nn.Module):
    """Linear, ReLU, linear, as in SupCon (Khosla et al. 2020), or one linear layer.

    Its output is not normalized: the loss divides by the length.

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
        """(B, E) -> (B, P)."""
        if self.hidden is not None:
            embedding = self.hidden(embedding).relu()  # (B, hidden_dim)
        return self.out_proj(embedding)
