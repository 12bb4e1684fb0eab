"""The protocol of encoders."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turns one modality's input into features.

    Attributes:
        embed_dim: C, width of the features.
    """

    embed_dim: int

    def forward(self, source: Tensor, padding_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch, so that no feature depends on how much padding there is.

        Args:
            source: (B, S, ...): ids, samples or frames; subclasses name it after what it is, as
                the leaf's collater does.
            padding_mask: (B, S), True = padding. No row is all padding.

        Returns:
            Features (B, T, C) and their padding mask (B, T).
        """
        raise NotImplementedError
