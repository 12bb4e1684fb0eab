"""What audio encoders share: raw samples as they expect them, and norms that ignore padding."""

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


# -- Norms over time that do not see padding -------------------------------------------------------


class MaskedGroupNorm(nn.Module):
    """A group norm whose statistics are taken over the real frames of each row alone.

    wav2vec 2.0, HuBERT and WavLM of base size normalize each channel over time, padding included,
    so that in their own libraries a row's features depend on what it is batched with.

    Args:
        norm: the one to take the place of, whose parameters, and their names, it takes over.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.num_groups = norm.num_groups
        self.eps = norm.eps
        self.weight = norm.weight
        self.bias = norm.bias

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalize.

        Args:
            x: (B, C, T).
            lengths: (B,) real frames of each row, at least 1.

        Returns:
            (B, C, T), zero where there is padding.
        """
        width = x.size(2)
        # Row by row, so that torch itself computes what it would of the row alone.
        rows = [
            self._normalize(row[None, :, :n]) for row, n in zip(x, lengths.tolist(), strict=True)
        ]
        return torch.cat([nn.functional.pad(row, (0, width - row.size(2))) for row in rows])

    def _normalize(self, x: Tensor) -> Tensor:
        return nn.functional.group_norm(
            x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps
        ).type_as(x)


def keep_batch_statistics(module: nn.Module) -> None:
    """Have batch norms use their pretrained statistics in training too: a batch's count padding."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.eval()
