"""Preparation of raw samples, and norms that ignore padding, for speech encoders."""

import torch
from torch import Tensor, nn


def prepare_samples(
    waveform: Tensor, padding_mask: Tensor, receptive_field: int, norm_eps: float | None
) -> tuple[Tensor, Tensor]:
    """Normalize rows, and pad them to the receptive field of the convolutions.

    Args:
        waveform: (B, S) samples.
        padding_mask: (B, S), True = padding.
        receptive_field: of one frame, in samples; shorter rows are padded with zeros to it.
        norm_eps: added to the variance, when each row is normalized to zero mean and unit variance
            over its real samples. None = no normalization.

    Returns:
        Samples (B, max(S, receptive_field)), 0 in padding; and the lengths (B,) of the rows.
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
    missing = max(0, receptive_field - samples.size(1))
    return nn.functional.pad(samples, (0, missing)), lengths.clamp(min=receptive_field)


def mask_beyond(lengths: Tensor, width: int) -> Tensor:
    """Return the padding mask (B, width) of rows with these lengths (B,).

    >>> mask_beyond(torch.tensor([1, 2]), 2)
    tensor([[False,  True],
            [False, False]])
    """
    return torch.arange(width, device=lengths.device) >= lengths[:, None]


# -- Norms over time that ignore padding -----------------------------------------------------------


class MaskedGroupNorm(nn.Module):
    """Group norm with statistics over the real frames of each row only.

    wav2vec 2.0, HuBERT and WavLM of base size normalize each channel over time, including padding,
    so that in their own libraries the features of a row depend on the rest of its batch.

    Args:
        norm: the norm to be replaced, whose parameters are reused under the same names.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.num_groups = norm.num_groups
        self.eps = norm.eps
        self.weight = norm.weight
        self.bias = norm.bias

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Normalize a padded batch.

        Args:
            x: (B, C, T).
            lengths: (B,) real frames of each row, at least 1.

        Returns:
            (B, C, T), 0 in padding.
        """
        width = x.size(2)
        if x.device.type != "cpu":  # lengths are not read: the host would wait for them
            return self._normalize_masked(x, mask_beyond(lengths, width), lengths)
        # Row by row, so that the result is exactly that of each row alone.
        rows = [
            self._normalize(row[None, :, :n]) for row, n in zip(x, lengths.tolist(), strict=True)
        ]
        return torch.cat([nn.functional.pad(row, (0, width - row.size(2))) for row in rows])

    def _normalize_masked(self, x: Tensor, padding_mask: Tensor, lengths: Tensor) -> Tensor:
        """Normalize all rows together, by sums over their real frames."""
        is_real = ~padding_mask[:, None, None]  # B x 1 x 1 x T
        groups = x.float().unflatten(1, (self.num_groups, -1))  # B x G x C / G x T
        n_values = lengths[:, None, None, None] * groups.size(2)
        mean = (groups * is_real).sum(dim=(2, 3), keepdim=True) / n_values
        centered = (groups - mean) * is_real
        variance = centered.square().sum(dim=(2, 3), keepdim=True) / n_values
        normalized = (centered * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        scaled = normalized * self.weight.float()[:, None] + self.bias.float()[:, None]
        return (scaled * is_real[:, 0]).type_as(x)

    def _normalize(self, x: Tensor) -> Tensor:
        return nn.functional.group_norm(
            x.float(), self.num_groups, self.weight.float(), self.bias.float(), self.eps
        ).type_as(x)


def keep_batch_statistics(module: nn.Module) -> None:
    """Use pretrained statistics in batch norms in training too: a batch's would include padding."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d):
            part.eval()
