"""Distance of an utterance to the VAD prototype of its class, as a pure function of tensors."""

import torch
from torch import Tensor


def prototype_distance(vad: Tensor, labels: Tensor, prototypes: Tensor) -> Tensor:
    """Euclidean distance to the prototype of the row's class: its difficulty d_i.

    Args:
        vad: (B, 3) in [0, 1], NaN = missing.
        labels: (B,), class ids, -1 = unknown.
        prototypes: (K, 3), or (B, K, 3) where rows have their own; NaN for a class without one.

    Returns:
        (B,); NaN where one of the three is missing. The gradient with regard to the prototypes is
        0 there, and at a distance of exactly 0.
    """
    rows = torch.arange(len(labels), device=labels.device)
    classes = labels.clamp_min(0)
    own = prototypes[classes] if prototypes.ndim == 2 else prototypes[rows, classes]  # (B, 3)
    known = (labels >= 0) & ~(vad.isnan() | own.isnan()).any(dim=1)
    offset = torch.where(known[:, None], vad.to(own.dtype) - own, 0.0)
    squares = offset.square().sum(dim=1)
    # The root has an infinite slope at 0.
    distance = torch.where(squares > 0, squares, 1.0).sqrt().masked_fill(squares == 0, 0.0)
    return torch.where(known, distance, float("nan"))


def moving_prototypes(prototypes: Tensor, vad: Tensor, labels: Tensor, momentum: float) -> Tensor:
    """Prototypes moved towards the class means of a batch; a class without rows stays.

    `c_k <- momentum * c_k + (1 - momentum) * mean of the rows of class k`; a class without a
    prototype takes the mean itself.

    Args:
        prototypes: (K, 3), NaN for a class without one.
        vad: (B, 3), NaN = missing.
        labels: (B,), class ids, -1 = unknown.
        momentum: in [0, 1).

    Returns:
        (K, 3), a new tensor.
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
