"""A check that all metrics share."""

from torch import Tensor


def check_same_shape(truth: Tensor, prediction: Tensor) -> None:
    """Raise ValueError unless both have one shape: broadcasting would pair the wrong rows."""
    if truth.shape != prediction.shape:
        shapes = f"{tuple(truth.shape)} and {tuple(prediction.shape)}"
        raise ValueError(f"truth and prediction differ in shape: {shapes}")
