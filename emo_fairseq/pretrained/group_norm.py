"""Norms over time that do not see padding."""

import torch
from torch import Tensor, nn


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
