"""Resample mono samples or blocks of them by soxr."""

from __future__ import annotations

import math

import numpy as np
import soxr

from data_prep.audio.decoding import FloatArray

_AT_ONCE = 1 << 22  # samples resampled in one call; more go through a stream, with the same result


def resampled(waveform: FloatArray, rate: float, sample_rate: int) -> FloatArray:
    """Resample mono samples (n_samples,) from `rate` to `sample_rate` by soxr (HQ), as float32."""
    if rate != sample_rate:
        waveform = soxr.resample(waveform, rate, sample_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def resampled_length(frames: int, source_rate: float, target_rate: int) -> int:
    """Return the number of samples after resampling, rounded half up as by soxr.

    >>> resampled_length(22_050, 44_100, 16_000)
    8000
    """
    if source_rate == int(source_rate):
        rate = int(source_rate)
        return (2 * frames * target_rate + rate) // (2 * rate)
    return math.floor(frames * target_rate / source_rate + 0.5)


class Resampler:
    """Resample mono blocks, in one call or, if long, as a stream."""

    def __init__(self, rate: float, sample_rate: int) -> None:
        self._rates = rate, sample_rate
        self._blocks: list[FloatArray] = []
        self._n_waiting = 0
        self._stream: soxr.ResampleStream | None = None
        self._resampled: list[FloatArray] = []

    def add(self, block: FloatArray) -> None:
        self._blocks.append(block)
        self._n_waiting += len(block)
        if self._n_waiting > _AT_ONCE and self._rates[0] != self._rates[1]:
            self._flush(last=False)

    def finish(self) -> FloatArray:
        if self._stream is not None:
            self._flush(last=True)
            return np.concatenate(self._resampled)
        waveform = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        return resampled(waveform, *self._rates)

    def _flush(self, last: bool) -> None:
        if self._stream is None:
            self._stream = soxr.ResampleStream(*self._rates, 1, dtype="float32", quality="HQ")
        waiting = np.concatenate([*self._blocks, np.zeros(0, np.float32)])
        self._resampled.append(self._stream.resample_chunk(waiting, last=last))
        self._blocks, self._n_waiting = [], 0
