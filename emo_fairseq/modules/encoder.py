"""The protocol of encoders."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turns one modality's input into features.

    Attributes:
        embed_dim: C, width of the features of every layer.
        n_layers: L; :meth:`layers` gives L + 1 tensors.
        padded_input: units of the input that each row is brought to inside, where the encoder does
            so whatever comes in; what a row costs at least. Else 0.
    """

    embed_dim: int
    n_layers: int
    padded_input = 0

    def layers(self, source: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch, so that no feature depends on how much padding there is.

        Args:
            source: (B, S, ...): ids, samples or frames; subclasses name it after what it is, as
                the leaf's collater does.
            padding_mask: (B, S), True = padding. No row is all padding.

        Returns:
            L + 1 tensors (B, T, C): what enters the first layer, and what leaves each of them, the
            last one as the model itself puts it out; and their padding mask (B, T).
        """
        raise NotImplementedError

    def forward(self, *args: Tensor, **source: Tensor) -> tuple[Tensor, Tensor]:
        """The last of :meth:`layers`: features (B, T, C), and their padding mask (B, T)."""
        layers, padding_mask = self.layers(*args, **source)
        return layers[-1], padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        """The parts from the input to the output, which together hold every parameter.

        First what comes before the first layer (embeddings, convolutions), then layer by layer.
        Layer-wise learning rates and gradual unfreezing go by them.
        """
        raise NotImplementedError


# -- Putting the parts of an encoder in the order in which layer-wise learning rates go by them


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
