"""Samples as 16-bit integers, with the error that this costs.

The unit is 1/32768, the step of 16-bit audio. Samples are rounded to the nearest integer, without
dither: the noise of rounding is 98 dB below full scale, and 16-bit sources stay what they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FULL_SCALE = 32768.0

IntArray = npt.NDArray[np.int16]


class Quantized(NamedTuple):
    """Samples as integers.

    Attributes:
        values: (n_samples,) int16; a sample is `values * 2**shift / 32768`.
        shift: how often the samples were halved, so that none is clipped; 0 up to full scale.
        is_exact: whether nothing was rounded.
    """

    values: IntArray
    shift: int
    is_exact: bool


def quantize(samples: npt.NDArray[np.float32]) -> Quantized:
    """Round samples to 16 bits.

    Mixing, resampling and lossy codecs overshoot full scale. Such a row is halved until it fits,
    which keeps its peaks; the error is at most half a unit, or a unit if it was halved once.

    Args:
        samples: (n_samples,) float32, full scale is 1; finite, not empty.

    >>> quantize(np.array([0.5, -1.0], np.float32))
    Quantized(values=array([ 16384, -32768], dtype=int16), shift=0, is_exact=True)
    >>> quantize(np.array([1.0, 0.25], np.float32))
    Quantized(values=array([16384,  4096], dtype=int16), shift=1, is_exact=True)
    """
    units = samples * np.float32(FULL_SCALE)  # exact: a power of two
    low, high = float(np.rint(units.min())), float(np.rint(units.max()))
    shift = 0
    while high > FULL_SCALE - 1 or low < -FULL_SCALE:
        shift += 1
        units = units * np.float32(0.5)
        low, high = float(np.rint(units.min())), float(np.rint(units.max()))
    values = np.rint(units).astype(np.int16)
    return Quantized(values, shift, bool(np.array_equal(values, units)))


def dequantize(values: IntArray, shift: int) -> npt.NDArray[np.float32]:
    """Return (n_samples,) float32 samples, as libsndfile scales 16-bit integers.

    >>> dequantize(np.array([16384, 4096], np.int16), shift=1)
    array([1.  , 0.25], dtype=float32)
    """
    return values.astype(np.float32) * np.float32(2.0**shift / FULL_SCALE)
