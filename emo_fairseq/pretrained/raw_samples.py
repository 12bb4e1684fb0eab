"""Raw samples as pretrained encoders want them: padding silent, normalized, long enough."""

import torch
from torch import Tensor, nn


def prepare_samples(
    waveform: Tensor, padding_mask: Tensor, reach: int, norm_eps: float | None
) -> tuple[Tensor, Tensor]:
    """Make rows ready for convolutions.

    Args:
        waveform: (B, S) samples.
        padding_mask: (B, S), True = padding.
        reach: samples that one frame sees; a shorter row is filled up with zeros, for one frame.
        norm_eps: each row is brought to zero mean and unit variance, over its real samples; added
            to the variance. None = it stays as it is.

    Returns:
        (B, max(S, reach)), zero where there is padding, and the (B,) samples that count as real.
    """
    lengths = (~padding_mask).sum(dim=1)
    samples = waveform.masked_fill(padding_mask, 0.0)
    if norm_eps is not None:
        n_samples = lengths[:, None]
        samples = samples.float()
        mean = samples.sum(dim=1, keepdim=True) / n_samples
        samples = (samples - mean).masked_fill(padding_mask, 0.0)
        variance = samples.square().sum(dim=1, keepdim=True) / n_samples
        samples = (samples * torch.rsqrt(variance + norm_eps)).to(waveform.dtype)
    missing = max(0, reach - samples.size(1))
    return nn.functional.pad(samples, (0, missing)), lengths.clamp(min=reach)


def mask_beyond(lengths: Tensor, width: int) -> Tensor:
    """The padding mask (B, width) of rows with these (B,) lengths."""
    return torch.arange(width, device=lengths.device) >= lengths[:, None]
