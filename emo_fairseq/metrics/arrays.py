"""The same formula for tensors and NumPy arrays.

Training computes statistics of tensors, on the device of the batch; evaluation computes them of
NumPy arrays, and imports no torch. What both libraries name alike is called on :func:`namespace` or
on the array, with the axis by position. What they name differently is here.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")  # the arrays of one call are of one library
Sums: TypeAlias = "np.ndarray | Tensor"  # statistics, summed over utterances


def is_tensor(array: object) -> bool:
    """Return whether it is a tensor; where torch was not imported, nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def is_on_cpu(array: Any) -> bool:
    """Return whether the host reads values without waiting for another device."""
    return not is_tensor(array) or array.device.type == "cpu"


def namespace(array: object) -> ModuleType:
    """Return the module that has the functions of an array: torch or numpy."""
    return sys.modules["torch"] if is_tensor(array) else np


def float64(array: Any) -> Any:
    """Return an array in float64; a tensor without its graph.

    >>> float64(np.array([True, False])).tolist()
    [1.0, 0.0]
    """
    return array.detach().double() if is_tensor(array) else np.asarray(array, dtype=np.float64)


def int64(array: Any) -> Any:
    """Return an array in int64.

    >>> int64(np.array([1.0, 0.0])).tolist()
    [1, 0]
    """
    return array.long() if is_tensor(array) else np.asarray(array).astype(np.int64)


def arange(n: int, like: Any) -> Any:
    """Return the numbers from 0 to n - 1, in the library and on the device of an array.

    >>> arange(3, np.zeros(1)).tolist()
    [0, 1, 2]
    """
    return namespace(like).arange(n, device=like.device) if is_tensor(like) else np.arange(n)


def one_hot(ids: Any, n_classes: int) -> Any:
    """Return which class each id is: (...) int -> (..., C) float64.

    >>> one_hot(np.array([1, 0]), 2).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return float64(ids[..., None] == arange(n_classes, ids))


def count(ids: Any, weights: Any, n_classes: int) -> Any:
    """Return the sum of the weights of each id: (N,) int in [0, C), (N,) float64 -> (C,).

    >>> count(np.array([1, 0, 1]), np.array([1.0, 1.0, 0.5]), 3).tolist()
    [1.0, 1.5, 0.0]
    """
    if is_tensor(ids):
        counts = weights.new_zeros(n_classes)
        return counts.index_add_(0, ids, weights)  # bincount waits for a GPU
    return np.bincount(ids, weights, n_classes)


def on_host(sums: Sums) -> np.ndarray:
    """Return statistics as a NumPy array, float64; it waits for the device of a tensor."""
    values: Any = sums
    return np.asarray(values.detach().cpu() if is_tensor(sums) else values, dtype=np.float64)


def ratio(part: float, whole: float) -> float:
    """Return a quotient of numbers that are no less than 0; NaN where both are 0.

    >>> ratio(np.float64(1.0), 4), ratio(0.0, 0.0)
    (0.25, nan)
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.float64(part) / np.float64(whole))
