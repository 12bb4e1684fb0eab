"""Putting the parts of an encoder in the order in which layer-wise learning rates go by them."""

from collections.abc import Iterable, Sequence

from torch import nn


def in_blocks(
    before: Iterable[nn.Module | None],
    layers: Iterable[nn.Module],
    after: Iterable[nn.Module | None] = (),
) -> Sequence[nn.Module]:
    """What :meth:`emo_fairseq.modules.encoder.Encoder.blocks` gives, of an encoder with layers.

    Args:
        before: parts before the first layer.
        layers: L of them, L > 0.
        after: parts behind the last layer, which belong to its block.

    Returns:
        L + 1 blocks. Parts that are None are left out.
    """
    first = nn.ModuleList(part for part in before if part is not None)
    *others, last = layers
    return [first, *others, nn.ModuleList([last, *(part for part in after if part is not None)])]
