"""Take whole modalities away in training, so that a model learns to do without them."""

from collections.abc import Mapping

import torch
from torch import Tensor


def drop_modalities(present: Mapping[str, Tensor], probability: float) -> dict[str, Tensor]:
    """Drop each modality of each row with a probability, but never the last one of a row.

    Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition". If all that a row
    has would go, one of them stays, each as likely as the other. Draws from torch's generator.

    Args:
        present: for each modality (B,), True where a row has it.
        probability: in [0, 1]; 0 draws nothing, 1 leaves one modality a row.

    Returns:
        The same, with what was dropped False.

    Raises:
        ValueError: `probability` is not one.
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"modality dropout of {probability}: give a probability from 0 to 1")
    if probability == 0.0:
        return dict(present)
    there = torch.stack(list(present.values()), dim=1)  # (B, modalities)
    draws = torch.rand(there.shape, device=there.device).masked_fill(~there, -1.0)
    # A row's largest draw stays in any case. If another stays, it does anyway; if none, then all
    # draws are uniform below the probability, and the largest is anybody's.
    largest = draws == draws.amax(dim=1, keepdim=True)
    kept = there & ((draws >= probability) | largest)
    return dict(zip(present, kept.unbind(dim=1), strict=True))
