"""Encode the turns of dialogues: (U, E) of single turns -> (U, E) of turns in their dialogues.

A batch has U turns (rows), of W windows: whole dialogues, or parts of long ones. Which row is which
turn of which window is a dict of tensors, the `dialogue`:

| name | tensor | content |
|---|---|---|
| ``turns`` | (W, L) int64 | row of the turn at each place of a window; 0 where padded |
| ``padding_mask`` | (W, L) bool | True = padding, which follows the turns |
| ``speaker`` | (W, L) int64 | number of the speaker within the window; -1 = unknown |
| ``scored`` | (B,) int64 | rows whose outputs the model returns, in this order |

Each row is at one place. Of a dialogue of three turns and one of two, of which the last one is
context alone::

    rows      0: Joey "Hi."   1: Ross "You look sad."   2: Joey "I am."   3: Amy "So?"   4: ? "…"

    turns     0  1  2     padding_mask  .  .  .     speaker  0  1  0     scored  0  1  2  3
              3  4  0                   .  .  T              0 -1 -1
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

UNKNOWN = -1  # in ``speaker``

Dialogue = Mapping[str, Tensor]


class ContextEncoder(nn.Module):
    """Encode what surrounds each turn. Base class.

    What a turn becomes depends on the turns of its own window alone, and with `causal` on itself
    and those before it. The numbers of speakers serve to compare turns, and mean nothing else.
    An unknown speaker is taken for one who speaks this turn only.

    Attributes:
        output_dim: C.
    """

    output_dim: int

    def forward(self, turns: Tensor, dialogue: Dialogue) -> Tensor:
        """Encode a batch.

        Args:
            turns: (U, D), a vector of each row.
            dialogue: see :mod:`emo_fairseq.modules.dialogue.base`.

        Returns:
            The vectors in context (U, C).
        """
        raise NotImplementedError


class DialogueEncoder(nn.Module):
    """Add to the embedding of each turn a linear map of its context: e + W c(V e).

    The sum keeps the turn's own embedding as it is, so that a turn alone is predicted about as well
    as without a dialogue encoder. W is 0 at first: training starts from the model without context,
    which may be one that an earlier stage has trained.

    Args:
        embedding_dim: E.
        context: (U, D) -> (U, C).
        context_dim: D.
        dropout: on the embeddings before V, and on the context before W.

    Attributes:
        output_dim: E.
    """

    def __init__(
        self, embedding_dim: int, context: ContextEncoder, context_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(embedding_dim, context_dim)
        self.context = context
        self.out_proj = nn.Linear(context.output_dim, embedding_dim)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)
        self.output_dim = embedding_dim

    def forward(self, embedding: Tensor, dialogue: Dialogue) -> Tensor:
        """Encode embeddings (U, E) of the turns of a batch to (U, E)."""
        context = self.context(self.project(self.dropout(embedding)), dialogue)  # (U, C)
        return embedding + self.out_proj(self.dropout(context))


def single_turns(embedding: Tensor) -> dict[str, Tensor]:
    """Return the `dialogue` of a batch in which each row (of U) is a dialogue of one turn.

    >>> single_turns(torch.zeros(2, 8))["turns"].tolist()
    [[0], [1]]
    """
    rows = torch.arange(embedding.shape[0], device=embedding.device)
    return {
        "turns": rows[:, None],
        "padding_mask": torch.zeros_like(rows[:, None], dtype=torch.bool),
        "speaker": torch.full_like(rows[:, None], UNKNOWN),
        "scored": rows,
    }
