"""Distance of an utterance to the VAD prototype of its class, and moving prototypes."""

import torch
from torch import Tensor


def prototype_distance(vad: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Return the Euclidean distance of each row to the prototype of its class: its difficulty d_i.

    Args:
        vad: (B, 3) in [0, 1], NaN = missing.
        labels: (B,), class ids, -1 = unknown.
        prototypes: (K, 3), or (B, K, 3) where rows have their own; NaN for a class without one.

    Returns:
        (B,); NaN where one of the three is missing. The gradient with respect to the prototypes is
        0 there, and at a distance of exactly 0.

    >>> vad, prototypes = torch.tensor([[0.2, 0.5, 0.5]]), torch.tensor([[0.5, 0.9, 0.5]])
    >>> prototype_distance(vad, torch.tensor([0]), prototypes)
    tensor([0.5000])
    """
    rows = torch.arange(len(labels), device=labels.device)
    classes = labels.clamp_min(0)
    own = prototypes[classes] if prototypes.ndim == 2 else prototypes[rows, classes]  # (B, 3)
    known = (labels >= 0) & ~(vad.isnan() | own.isnan()).any(dim=1)
    offset = torch.where(known[:, None], vad.to(own.dtype) - own, 0.0)
    squares = offset.square().sum(dim=1)
    # The slope of the root at 0 is infinite.
    distance = torch.where(squares > 0, squares, 1.0).sqrt().masked_fill(squares == 0, 0.0)
    return torch.where(known, distance, float("nan"))


def moving_prototypes(prototypes: Tensor, vad: Tensor, labels: Tensor, momentum: float) -> Tensor:
    """Move prototypes towards the class means of a batch.

    `c_k <- momentum * c_k + (1 - momentum) * mean of the rows of class k`. A class without a
    prototype gets the mean itself; that of a class without rows is unchanged.

    Args:
        prototypes: (K, 3), NaN for a class without one.
        vad: (B, 3), NaN = missing.
        labels: (B,), class ids, -1 = unknown.
        momentum: in [0, 1).

    Returns:
        (K, 3), a new tensor.

    >>> prototypes, vad = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    >>> moving_prototypes(prototypes, vad, torch.tensor([0]), momentum=0.75)
    tensor([[0.2500, 0.2500, 0.0000]])
    """
    usable = ~vad.isnan().any(dim=1)
    classes = torch.arange(len(prototypes), device=labels.device)
    members = (labels == classes[:, None]) & usable  # (K, B)
    counts = members.sum(dim=1)  # (K,)
    rows = torch.where(usable[:, None], vad, 0.0).to(prototypes.dtype)
    means = members.to(rows) @ rows / counts.clamp_min(1)[:, None]  # (K, 3)
    start = torch.where(prototypes.isnan(), means, prototypes)
    moved = momentum * start + (1.0 - momentum) * means
    return torch.where((counts > 0)[:, None], moved, prototypes)
