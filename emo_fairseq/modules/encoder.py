"""Base class of the encoders of a modality."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """Encode the input of one modality into features. Base class.

    Attributes:
        embed_dim: C, width of the features of every layer.
        n_layers: L; :meth:`layers` returns L + 1 tensors.
        padded_input: length to which the encoder pads every row internally, in units of its input
            (Whisper: 30 s), and so the minimum cost of a row; 0 if it does not.
        top_layer: number of the highest layer that :meth:`layers` has to run; None = all. An
            encoder that honors it returns `top_layer` + 1 tensors.
    """

    embed_dim: int
    n_layers: int
    padded_input = 0
    top_layer: int | None = None

    def layers(self, source: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch; features do not depend on the amount of padding.

        Args:
            source: (B, S, ...): ids, samples or frames. Subclasses name the argument after its
                content, like the collater of the modality's dataset.
            padding_mask: (B, S), True = padding. No row is all padding.

        Returns:
            L + 1 tensors (B, T, C), the input of the first layer and the output of each layer, the
            last one after the model's final layer norm if it has one; and their padding mask
            (B, T).
        """
        raise NotImplementedError

    def forward(self, *args: Tensor, **source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output of the last layer (B, T, C), and its padding mask (B, T)."""
        layers, padding_mask = self.layers(*args, **source)
        return layers[-1], padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        """Return the parts from input to output, which together hold every parameter.

        The first holds what precedes the first layer (embeddings, convolutions), then one per
        layer. Layer-wise learning rates and gradual unfreezing use this order.
        """
        raise NotImplementedError

    def token_embedding(self) -> nn.Embedding:
        """Return the embeddings of the tokens that are read, one for each symbol.

        Raises:
            ValueError: no tokens are read.
        """
        raise ValueError(f"{type(self).__name__} reads no tokens")


def has_padding(padding_mask: Tensor) -> bool:
    """Return whether attention needs a mask: it has faster kernels without one.

    Of a mask on a GPU that is not looked at, since the host would wait for all that was queued; nor
    while torch.export records a graph, which is for every batch.

    >>> import torch
    >>> has_padding(torch.zeros(2, 3, dtype=torch.bool))
    False
    """
    is_unknown = padding_mask.device.type != "cpu" or torch.compiler.is_exporting()
    return is_unknown or bool(padding_mask.any())


def in_blocks(
    before: Iterable[nn.Module | None],
    layers: Iterable[nn.Module],
    after: Iterable[nn.Module | None] = (),
) -> Sequence[nn.Module]:
    """Group the parts of an encoder for :meth:`Encoder.blocks`.

    Args:
        before: parts before the first layer.
        layers: L layers, L > 0.
        after: parts after the last layer, which are added to its block.

    Returns:
        L + 1 blocks. Parts that are None are left out.
    """
    first = nn.ModuleList(part for part in before if part is not None)
    *others, last = layers
    return [first, *others, nn.ModuleList([last] + [part for part in after if part is not None])]
