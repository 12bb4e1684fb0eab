"""From frames to one vector an utterance."""

from torch import Tensor


def masked_mean(features: Tensor, padding_mask: Tensor) -> Tensor:
    """Mean over the frames that are not padding.

    Args:
        features: (B, T, C).
        padding_mask: (B, T), True = padding.

    Returns:
        (B, C); zeros where a row is all padding.
    """
    real = (~padding_mask).unsqueeze(-1).to(features.dtype)  # (B, T, 1)
    total = (features * real).sum(dim=1)
    return total / real.sum(dim=1).clamp(min=1)
