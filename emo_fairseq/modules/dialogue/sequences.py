"""Reading orders of turns, as index grids, so that recurrent layers see no padding before a turn.

A grid (N, M) holds N sequences of row numbers plus one, with 0 where padded, at the end::

    turns     0  1  2      grid  1  2  3      reversed  3  2  1      by speaker  1  3
              3  4  .            4  5  0                5  4  0                  2  0
                                                                                 4  0
                                                                                 5  0

`torch.nn.utils.rnn.pack_padded_sequence` would do for the first three, but cannot be exported to
ONNX with free lengths.
"""

import torch
from torch import Tensor, nn

from emo_fairseq.modules.dialogue.base import Dialogue


def in_order(dialogue: Dialogue) -> Tensor:
    """Return the grid (W, L) of the turns of each window."""
    return (dialogue["turns"] + 1).masked_fill(dialogue["padding_mask"], 0)


def by_speaker(dialogue: Dialogue) -> Tensor:
    """Return the grid (N, M) of the turns of each speaker of each window.

    A turn of an unknown speaker is a sequence of its own.
    """
    grid, speaker = in_order(dialogue), dialogue["speaker"]
    is_turn = grid > 0
    is_unknown = is_turn & (speaker < 0)
    n_known = speaker.masked_fill(~is_turn, -1).amax(dim=1, keepdim=True) + 1
    number = torch.where(is_unknown, n_known + is_unknown.long().cumsum(dim=1) - 1, speaker)
    number = number.masked_fill(~is_turn, -1)  # (W, L)
    n_speakers = number.max() + 1  # a tensor, so that a traced graph is not fixed to one batch
    numbers = torch.arange(n_speakers, device=number.device)  # type: ignore[call-overload]
    is_theirs = number[:, None, :] == numbers[:, None]  # (W, S, L)
    # Turn i of a speaker goes to place i, and the turns of others to a place that is cut off.
    n_before = is_theirs.long().cumsum(dim=2) - 1
    last = torch.full_like(n_before, grid.shape[1])
    places = torch.where(is_theirs, n_before, last)
    empty = nn.functional.pad(torch.zeros_like(n_before), (0, 1))  # (W, S, L + 1)
    rows = torch.where(is_theirs, grid[:, None, :], torch.zeros_like(n_before))
    sequences = empty.scatter(2, places, rows).flatten(0, 1)  # (W S, L + 1)
    sequences = sequences[sequences[:, 0] > 0]  # windows have fewer speakers than S
    return sequences[:, : (sequences > 0).sum(dim=1).max()]


def reverse(grid: Tensor) -> Tensor:
    """Return the same sequences (N, M) from their last turn to their first.

    >>> reverse(torch.tensor([[1, 2, 3], [4, 5, 0]])).tolist()
    [[3, 2, 1], [5, 4, 0]]
    """
    steps = torch.arange(grid.shape[1], device=grid.device)
    lengths = (grid > 0).sum(dim=1, keepdim=True)
    return grid.gather(1, torch.where(steps < lengths, lengths - 1 - steps, steps))


def at_rows(values: Tensor, grid: Tensor, n_rows: int) -> Tensor:
    """Return for each row (U,) the one of the values (N, M) that is at its place of the grid.

    >>> grid = torch.tensor([[1, 3], [2, 0]])
    >>> at_rows(torch.tensor([[7, 8], [9, 0]]), grid, n_rows=3).tolist()
    [7, 9, 8]
    """
    with_padding = torch.zeros(n_rows + 1, dtype=values.dtype, device=values.device)
    return with_padding.scatter(0, grid.flatten(), values.flatten())[1:]


def run_over(layer: nn.GRU, turns: Tensor, grid: Tensor) -> Tensor:
    """Run a recurrent layer over the sequences of a grid.

    Args:
        layer: reads one way, ``batch_first``.
        turns: (U, D).
        grid: (N, M), with each of the U rows once.

    Returns:
        Its output at each row, (U, H).
    """
    with_padding = nn.functional.pad(turns, (0, 0, 1, 0))  # (1 + U, D), 0 at padding
    outputs = layer(with_padding[grid])[0].flatten(0, 1)  # N x M x D -> N M x H
    places = torch.arange(outputs.shape[0], device=grid.device).view(grid.shape)
    return outputs[at_rows(places, grid, turns.shape[0])]
