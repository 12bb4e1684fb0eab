"""The precision in which losses are computed."""

import torch
from torch import Tensor


def full_precision(tensor: Tensor) -> Tensor:
    """Float32, whatever the model's precision; float64 stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
