"""The identity in place of an encoder: frames are pooled without one."""

from collections.abc import Sequence

from torch import Tensor, nn

from emo_fairseq.modules.encoder import Encoder


class IdentityEncoder(Encoder):
    """Return the frames, log-mel or extracted features; there are no parameters."""

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.embed_dim = input_dim
        self.n_layers = 0

    def layers(self, frames: Tensor, padding_mask: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the frames (B, T, input_dim) and their padding mask (B, T)."""
        return [frames], padding_mask

    def blocks(self) -> Sequence[nn.Module]:
        return []
