"""A classifier of what an embedding should not tell, such as the speaker."""

from torch import Tensor, nn

from emo_fairseq.modules.gradient_reversal import GradientReversal


class Adversary(nn.Module):
    """Gradient reversal and a perceptron of one hidden layer (Ganin & Lempitsky 2015).

    Minimizing its loss trains it to tell the classes apart and the embedding to hide them. How
    hard the embedding hides is `adversary.reversal.scale`, see
    :func:`emo_fairseq.modules.gradient_reversal.reversal_scale`.

    Args:
        embedding_dim: E.
        hidden_dim: width of the hidden layer.
        n_classes: K, such as the number of speakers in the train split.
        dropout: on the hidden layer.
    """

    def __init__(self, embedding_dim: int, hidden_dim: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.reversal = GradientReversal()
        self.hidden = nn.Linear(embedding_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden_dim, n_classes)

    def forward(self, embedding: Tensor) -> Tensor:
        """(B, E) -> (B, K) logits."""
        hidden = self.hidden(self.reversal(embedding)).relu()  # (B, hidden_dim)
        return self.out_proj(self.dropout(hidden))
