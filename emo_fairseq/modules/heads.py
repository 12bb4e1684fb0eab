"""From the fused vector to the embedding, and from there to logits or values."""

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
