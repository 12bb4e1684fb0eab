"""Frames that hold several layers of an encoder: one is read, a sum of all, or all side by side."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder


class StoredLayers(Encoder):
    """Choose among the layers that are side by side in each frame, and encode the result.

    Args:
        n_stored: K layers of a frame.
        stored_layer: name of the choice, on which outputs depend beside weights.
        choose: (B, T, K, C) -> (B, T, D), D = C or K x C.
        encoder: of frames of width D.
    """

    def __init__(
        self,
        n_stored: int,
        stored_layer: str,
        choose: nn.Module | Callable[[Tensor], Tensor],
        encoder: Encoder,
    ) -> None:
        super().__init__()
        self.n_stored = n_stored
        self.stored_layer = stored_layer
        self.choose = choose
        self.encoder = encoder
        self.embed_dim = encoder.embed_dim
        self.n_layers = encoder.n_layers

    def layers(self, frames: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Encode a padded batch of frames.

        Args:
            frames: (B, T, K x C).
            padding_mask: (B, T), True = padding.

        Returns:
            See :meth:`Encoder.layers`; T is unchanged.
        """
        chosen = self.choose(frames.unflatten(2, (self.n_stored, -1)))
        return self.encoder.layers(chosen, padding_mask)

    def blocks(self) -> Sequence[nn.Module]:
        blocks = list(self.encoder.blocks())
        if not isinstance(self.choose, nn.Module):
            return blocks
        return [nn.ModuleList([self.choose, *blocks[:1]]), *blocks[1:]]
