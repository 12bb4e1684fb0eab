"""Recordings as they come, files or arrays of any rate, as mono samples at 16 kHz."""

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from data_prep.schema import SAMPLE_RATE
from data_prep.sound.audio import FloatArray, read_audio, resampled
from emo_fairseq.data.waveform import MIN_SAMPLES
from emo_fairseq.errors import UsageError

Audio = str | Path | np.ndarray

_RATES = (1_000, 1_000_000)  # Hz; beyond them resampling would make millions of samples of few
_MOST_CHANNELS = 32
_FULL_SCALE = {np.int16: 2.0**15, np.int32: 2.0**31}


def hear(audio: Audio, sample_rate: float | None, name: str) -> FloatArray:
    """Mono float32 samples at 16 kHz, as :func:`data_prep.sound.audio.read_audio` has them.

    Args:
        audio: a file that libsndfile reads; or an array (T,) or (T, channels), floating in [-1, 1],
            or int16, int32 or uint8.
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
    with contextlib.suppress(soundfile.SoundFileError, OSError):  # read_audio tells of these
        _check_rate(soundfile.info(path).samplerate, f"{name}: {path}")
    try:
        return read_audio(path)
    except ValueError as error:
        # Its remedies are those of a corpus.
        raise UsageError(f"{name}: {str(error).partition('; check --data-raw')[0]}") from error


def _as_array(audio: Any, name: str) -> FloatArray:
    """Mono float32 samples at the array's own rate."""
    found = np.asarray(audio)
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


def _scaled(found: np.ndarray, name: str) -> FloatArray:
    """In [-1, 1], as libsndfile scales integers."""
    if found.dtype.kind == "f":
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
