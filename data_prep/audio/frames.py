"""Kaldi's log-mel and MFCC frames of waveforms.

Frames are 25 ms long, 10 ms apart, with a Povey window, pre-emphasis 0.97 and no dither, so that
they are deterministic. `snip_edges` is on, Kaldi's default: only frames within the signal are
computed, and none for less than 25 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data_prep.audio.decoding import FloatArray
from data_prep.audio.part import WINDOW_MS
from data_prep.manifest.records import SAMPLE_RATE

if TYPE_CHECKING:
    import kaldi_native_fbank

SHIFT_MS = 10
# Kaldi's constants (energy floor, pre-emphasis of silence) expect 16-bit sample values.
SIXTEEN_BIT = 32768.0
DELTA_WINDOW = 2


def num_frames(n_samples: int, sample_rate: int = SAMPLE_RATE) -> int:
    """Return the number of frames of `log_mel` and `mfcc`: 0 below 25 ms, then one per 10 ms.

    >>> num_frames(399), num_frames(400), num_frames(16000)
    (0, 1, 98)
    """
    return int(num_frames_of(np.array([n_samples]), sample_rate)[0])


def num_frames_of(
    n_samples: npt.NDArray[np.integer], sample_rate: int = SAMPLE_RATE
) -> npt.NDArray[np.integer]:
    """Return `num_frames` of each of (N,) numbers of samples."""
    frame = sample_rate * WINDOW_MS // 1000
    shift = sample_rate * SHIFT_MS // 1000
    return np.where(n_samples < frame, 0, 1 + (n_samples - frame) // shift)


def log_mel(
    waveform: npt.ArrayLike, sample_rate: int = SAMPLE_RATE, n_mels: int = 80
) -> FloatArray:
    """Compute Kaldi's log-mel filterbank energies.

    Args:
        waveform: (n_samples,), in [-1, 1].
        sample_rate: in Hz.
        n_mels: number of mel bands from 20 Hz to the Nyquist frequency.

    Returns:
        (num_frames, n_mels) float32: natural log of the power of the samples times 32768, at least
        log(1.19e-7) = -15.94, the value of digital silence.

    Raises:
        ValueError: the waveform is not one-dimensional.

    >>> log_mel(np.zeros(16_000)).shape
    (98, 80)
    """
    import kaldi_native_fbank  # which few commands need

    options = kaldi_native_fbank.FbankOptions()
    _set_frames(options.frame_opts, sample_rate)
    options.mel_opts.num_bins = n_mels
    return _frames(kaldi_native_fbank.OnlineFbank(options), waveform, sample_rate, n_mels)


def mfcc(waveform: npt.ArrayLike, sample_rate: int = SAMPLE_RATE, n_mfcc: int = 13) -> FloatArray:
    """Compute Kaldi's MFCCs (23 mel bands, C0 not replaced by energy) with deltas and delta-deltas.

    HuBERT's first units are clusters of these frames.

    Args:
        waveform: (n_samples,), in [-1, 1].
        sample_rate: in Hz.
        n_mfcc: number of coefficients.

    Returns:
        (num_frames, 3 * n_mfcc) float32.

    Raises:
        ValueError: the waveform is not one-dimensional.

    >>> mfcc(np.zeros(16_000)).shape
    (98, 39)
    """
    import kaldi_native_fbank

    options = kaldi_native_fbank.MfccOptions()
    _set_frames(options.frame_opts, sample_rate)
    options.num_ceps = n_mfcc
    options.use_energy = False
    static = _frames(kaldi_native_fbank.OnlineMfcc(options), waveform, sample_rate, n_mfcc)
    velocity = deltas(static)
    return np.concatenate([static, velocity, deltas(velocity)], axis=1)


def deltas(frames: FloatArray) -> FloatArray:
    """Return the slope over time of frames (T, C), as Kaldi's `add-deltas`.

    `sum_n n (c[t+n] - c[t-n]) / (2 sum_n n^2)`, n = 1, 2; the first and last frame are repeated
    beyond the edges.

    >>> deltas(np.array([[0.0], [1.0], [2.0], [3.0], [4.0]], np.float32))[2]
    array([1.], dtype=float32)
    """
    if not len(frames):
        return frames
    width = DELTA_WINDOW
    padded = np.pad(frames, ((width, width), (0, 0)), mode="edge")
    slope = np.zeros_like(frames)
    for n in range(1, width + 1):
        later = padded[width + n : width + n + len(frames)]
        earlier = padded[width - n : width - n + len(frames)]
        slope += n * (later - earlier)
    return slope / np.float32(2 * sum(n * n for n in range(1, width + 1)))


def _set_frames(options: kaldi_native_fbank.FrameExtractionOptions, sample_rate: int) -> None:
    options.samp_freq = sample_rate
    options.frame_length_ms = WINDOW_MS
    options.frame_shift_ms = SHIFT_MS
    options.dither = 0.0
    options.snip_edges = True


def _frames(
    extractor: kaldi_native_fbank.OnlineFbank | kaldi_native_fbank.OnlineMfcc,
    waveform: npt.ArrayLike,
    sample_rate: int,
    n_dims: int,
) -> FloatArray:
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise ValueError(f"a waveform is (n_samples,), not {samples.shape}; average its channels")
    extractor.accept_waveform(sample_rate, (samples * SIXTEEN_BIT).tolist())
    extractor.input_finished()
    frames = np.empty((extractor.num_frames_ready, n_dims), dtype=np.float32)
    for i in range(len(frames)):
        frames[i] = extractor.get_frame(i)
    return frames
