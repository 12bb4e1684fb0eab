"""Context by recurrent layers over the turns of a dialogue, and over those of each speaker."""

import torch
from torch import Tensor, nn

from emo_fairseq.modules.dialogue.base import ContextEncoder, Dialogue
from emo_fairseq.modules.dialogue.sequences import (
    at_rows,
    by_speaker,
    in_order,
    reverse,
    run_over,
)

# Of the turn that is read before: there is none, its speaker is the same one, another one, or not
# known (or that of this turn is not).
_NONE, _SAME, _OTHER, _UNKNOWN = range(4)


class GruContext(ContextEncoder):
    """Read the dialogue by GRUs: all turns, and the turns of the same speaker, in both directions.

    After DialogueRNN (Majumder et al. 2019, arXiv:1811.00405), which has a GRU of the dialogue and
    one for the state of each party. Here both are read from the turns themselves, so that all
    sequences run in parallel; the attention over earlier global states is left out. The GRU of the
    dialogue also receives whether the speaker of each turn is that of the turn before.

    Args:
        width: D, of the turns, and of each GRU's state.
        n_layers: layers, each of which reads in all directions.
        dropout: on what the GRUs of a layer return.
        causal: read from the first turn to the last only.
        speakers: read the turns of each speaker, and compare that of a turn with that before it.
    """

    def __init__(
        self, width: int, n_layers: int, dropout: float, causal: bool, speakers: bool = True
    ) -> None:
        super().__init__()
        self.causal, self.speakers = causal, speakers
        self.layers = nn.ModuleList(
            _GruLayer(width, dropout, causal, speakers) for _ in range(n_layers)
        )
        self.output_dim = width

    def forward(self, turns: Tensor, dialogue: Dialogue) -> Tensor:
        grids = [in_order(dialogue)]
        if not self.causal:
            grids.append(reverse(grids[0]))
        marks = []
        if self.speakers:
            speaker = at_rows(dialogue["speaker"], grids[0], turns.shape[0])
            marks = [_relations(grid, speaker) for grid in grids]
            grids.append(by_speaker(dialogue))
            if not self.causal:
                grids.append(reverse(grids[-1]))
        for layer in self.layers:
            turns = layer(turns, grids, marks)
        return turns


class _GruLayer(nn.Module):
    def __init__(self, width: int, dropout: float, causal: bool, speakers: bool) -> None:
        super().__init__()
        n_ways = 1 if causal else 2
        n_grids = n_ways * (2 if speakers else 1)
        self.norm = nn.LayerNorm(width)
        self.marks = nn.ModuleList(nn.Embedding(4, width) for _ in range(n_ways * speakers))
        self.grus = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(n_grids))
        self.merge = nn.Linear(n_grids * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, turns: Tensor, grids: list[Tensor], marks: list[Tensor]) -> Tensor:
        """Add what all GRUs return to the turns (U, D)."""
        normed = self.norm(turns)
        inputs = [normed] * len(grids)
        for i, (embed, mark) in enumerate(zip(self.marks, marks, strict=True)):
            inputs[i] = normed + embed(mark)
        read = [
            run_over(gru, x, grid)  # type: ignore[arg-type]
            for gru, x, grid in zip(self.grus, inputs, grids, strict=True)
        ]
        return turns + self.dropout(self.merge(self.dropout(torch.cat(read, dim=1))))


def _relations(grid: Tensor, speaker: Tensor) -> Tensor:
    """Return the relation (U,) of each row to the one that is read before it.

    Args:
        grid: (W, L), of the reading order.
        speaker: (U,) of each row; negative = unknown.
    """
    with_padding = nn.functional.pad(speaker, (1, 0))
    before = nn.functional.pad(grid, (1, 0))[:, :-1]  # 0 at the first turn
    this, that = with_padding[grid], with_padding[before]
    known = torch.where(this == that, _SAME, _OTHER)
    relation = torch.where((this < 0) | (that < 0), _UNKNOWN, known).masked_fill(before == 0, _NONE)
    return at_rows(relation, grid, speaker.shape[0])
