"""Precision in which losses are computed."""

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """Convert a floating tensor to float32; float64 is unchanged."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
