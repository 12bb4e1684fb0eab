"""From the embedding to the vectors a contrastive loss compares; thrown away after training."""

from torch import Tensor, nn


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
