"""Modality dropout: train with whole modalities missing."""

from collections.abc import Mapping

import torch
from torch import Tensor


def drop_modalities(present: Mapping[str, Tensor], probability: float) -> dict[str, Tensor]:
    """Drop each modality of each row with a probability, but never the last one of a row.

    Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition". If all modalities of
    a row would be dropped, one is kept, chosen uniformly. Draws from torch's global generator.

    Args:
        present: for each modality (B,), True where a row has it.
        probability: in [0, 1]; with 0 nothing is drawn, with 1 each row keeps one modality.

    Returns:
        As `present`, with False for dropped modalities.

    Raises:
        ValueError: `probability` is outside [0, 1].

    >>> row = {"text": torch.tensor([True]), "speech": torch.tensor([True])}
    >>> dropped = drop_modalities(row, probability=1.0)
    >>> int(dropped["text"]) + int(dropped["speech"])
    1
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"modality dropout of {probability}: give a probability from 0 to 1")
    if probability == 0.0:
        return dict(present)
    available = torch.stack(list(present.values()), dim=1)  # (B, modalities)
    draws = torch.rand(available.shape, device=available.device).masked_fill(~available, -1.0)
    # The modality with a row's largest draw is always kept. If another is kept, it would be anyway;
    # if none, all draws are uniform below the probability, and each is equally likely the largest.
    largest = draws == draws.amax(dim=1, keepdim=True)
    kept = available & ((draws >= probability) | largest)
    return dict(zip(present, kept.unbind(dim=1), strict=True))
