"""Recordings as they come, files or arrays of any rate, as mono samples at 16 kHz."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from data_prep.audio.frames import FloatArray, read_audio, resampled
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.waveform import MIN_SAMPLES
from emo_fairseq.errors import UsageError

Audio = str | Path | np.ndarray | torch.Tensor

_RATES = (1_000, 1_000_000)  # Hz; beyond them resampling would make millions of samples of few
_MOST_CHANNELS = 32
_FULL_SCALE = {np.int16: 2.0**15, np.int32: 2.0**31}
_LOUDEST = 4.0  # of floats; resampling and mixing overshoot 1, but by less


def hear(audio: Audio, sample_rate: float | None, name: str) -> FloatArray:
    """Mono float32 samples at 16 kHz, as :func:`data_prep.audio.frames.read_audio` has them.

    Args:
        audio: a file that libsndfile reads; or an array or tensor (T,) or (T, channels), floating
            in [-1, 1], or int16, int32 or uint8.
        sample_rate: of an array, in Hz; a file says its own.
        name: of the item, for messages.

    Raises:
        UsageError: no sound, or one that cannot be used; says why.
    """
    if isinstance(audio, str | Path):
        return _long_enough(_read(Path(audio), name), name)
    samples = _as_array(audio, name)
    if sample_rate is None:
        raise UsageError(f"{name}: an array says nothing of its rate; give sample_rate in Hz")
    _check_rate(sample_rate, name)
    return _long_enough(resampled(samples, sample_rate, SAMPLE_RATE), name)


def _read(path: Path, name: str) -> FloatArray:
    rate = _rate_of(path)
    if rate is not None:
        _check_rate(rate, f"{name}: {path}")
    try:
        return read_audio(path)
    except ValueError as error:
        # Its remedies are those of a corpus.
        raise UsageError(f"{name}: {str(error).partition('; check --data-raw')[0]}") from error
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        reason = error.strerror or error
        raise UsageError(f"{name}: {path}: cannot be opened ({reason}); give another") from error


def _rate_of(path: Path) -> int | None:
    """In Hz; None where it cannot be read, of which `read_audio` tells."""
    try:
        return int(soundfile.info(path).samplerate)
    except (soundfile.SoundFileError, OSError, ValueError):
        return None


def _as_array(audio: Any, name: str) -> FloatArray:
    """Mono float32 samples at the array's own rate."""
    found = _as_numbers(audio, name)
    if found.ndim not in (1, 2) or found.dtype.kind not in "fiu":
        raise UsageError(
            f"{name}: audio of {found.dtype} {found.shape}; give a file, or numbers (T,) or "
            "(T, channels)"
        )
    if found.size == 0:
        raise UsageError(f"{name}: holds no sound (0 samples)")
    if found.ndim == 2 and found.shape[1] > _MOST_CHANNELS:
        raise UsageError(
            f"{name}: audio of {found.shape[1]} channels, as its shape {found.shape} says; "
            "channels are the second axis, so transpose it"
        )
    samples = _scaled(found, name)
    if not np.isfinite(samples).all():
        raise UsageError(f"{name}: holds samples that are NaN or infinite; mend the recording")
    return samples.mean(axis=1, dtype=np.float32) if samples.ndim == 2 else samples


def _as_numbers(audio: Any, name: str) -> np.ndarray:
    try:
        if isinstance(audio, torch.Tensor):
            audio = audio.detach().cpu()
            # numpy has not all of torch's floats, such as bfloat16
            audio = (audio.float() if audio.is_floating_point() else audio).numpy()
        return np.asarray(audio)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{name}: audio of {type(audio).__name__} that is no array of numbers ({reason}); give "
            "a file, or numbers (T,) or (T, channels)"
        ) from error


def _scaled(found: np.ndarray, name: str) -> FloatArray:
    """In [-1, 1], as libsndfile scales integers."""
    if found.dtype.kind == "f":
        peak = float(np.abs(found).max())
        if _LOUDEST < peak < math.inf:  # what is not finite is told of later
            raise UsageError(
                f"{name}: floating samples of up to {peak:g}, where full scale is 1; divide them "
                "by the full scale of their integers (32768 of 16 bits), or give int16"
            )
        return found.astype(np.float32)
    if found.dtype == np.uint8:
        return (found.astype(np.float32) - np.float32(128)) / np.float32(128)
    full_scale = _FULL_SCALE.get(found.dtype.type)
    if full_scale is None:
        raise UsageError(
            f"{name}: audio of {found.dtype}, whose full scale is unknown; give int16, int32, "
            "uint8, or floating numbers in [-1, 1]"
        )
    return np.asarray(found / full_scale, dtype=np.float32)


def _check_rate(sample_rate: Any, name: str) -> None:
    low, high = _RATES
    is_number = isinstance(sample_rate, int | float | np.number)
    if not is_number or not math.isfinite(sample_rate) or not low <= sample_rate <= high:
        raise UsageError(f"{name}: a sample rate of {sample_rate}; give {low} to {high} Hz")


def _long_enough(samples: FloatArray, name: str) -> FloatArray:
    if len(samples) < MIN_SAMPLES:
        raise UsageError(
            f"{name}: {1000 * len(samples) / SAMPLE_RATE:.3g} ms of sound are less than one window "
            f"of {1000 * MIN_SAMPLES // SAMPLE_RATE} ms; give more"
        )
    return samples
