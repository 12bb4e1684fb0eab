"""Audio files that are written here: FLAC, whole or not at all, and the sound of video clips."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from tqdm import tqdm

from data_prep.audio.containers import load_av
from data_prep.audio.decoding import DEFAULT_LIMITS
from data_prep.audio.loading import (
    AudioError,
    FloatArray,
    Measured,
    default_workers,
    load_with_warnings,
    measure_audio,
)
from data_prep.files.replacing import replacing
from data_prep.manifest.records import SAMPLE_RATE


def write_flac(
    path: Path,
    samples: npt.NDArray[np.generic],
    sample_rate: int,
    *,
    bits: int = 16,
    comment: str = "",
    is_locked: bool = False,
) -> None:
    """Write samples (T,) or (T, channels) of any type that soundfile writes.

    Raises:
        OSError: the file cannot be written; names it.
    """
    # Encoded in memory, since libsndfile raises nothing on a full disk.
    content = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    form = {"format": "FLAC", "subtype": f"PCM_{bits}"}
    with soundfile.SoundFile(content, "w", sample_rate, channels, **form) as sound:
        if comment:
            sound.comment = comment
        sound.write(samples)
    with replacing(path, is_locked=is_locked) as part:
        part.write_bytes(content.getvalue())


# -- The sound of video clips (mp4, avi, ...) as mono FLAC, loaded by `data_prep.audio.loading`
# Surround is mixed as in ITU-R BS.775, so that the center, where films put speech, is not drowned.
# Stored in 16 bits. Needs PyAV: `pip install av`.

_BETWEEN = " | "  # what a FLAC's comment holds


def extract_all(
    clips: Sequence[tuple[Path, Path]],
    *,
    max_seconds: float,
    workers: int | None = None,
    progress: bool = False,
) -> list[Measured | AudioError]:
    """`extract_audio` over (video, target) pairs, in order and in threads.

    An error takes its clip's place. What an interrupted run has finished is not made again. Raises
    ValueError where PyAV is not installed.
    """
    load_av()

    def extract(clip: tuple[Path, Path]) -> Measured | AudioError:
        try:
            return extract_audio(*clip, max_seconds=max_seconds)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        try:
            found = pool.map(extract, clips)
            hide = not progress or not clips
            return list(tqdm(found, "sound of videos", len(clips), unit="clip", disable=hide))
        finally:
            pool.shutdown(cancel_futures=True)  # at Ctrl-C do not wait for those not begun


def extract_audio(
    video: Path, target: Path, *, max_seconds: float, sample_rate: int = SAMPLE_RATE
) -> Measured:
    """Write the sound of `video` to `target`, a FLAC, whole or not at all; returns its length.

    A `target` that can be decoded, and whose comment names this video and its size, is kept. Raises
    AudioError for a clip that cannot be loaded, or is longer than `max_seconds`; nothing is written
    then.
    """
    limits = replace(DEFAULT_LIMITS, max_seconds=max_seconds)
    if video.is_file() and (kept := _extracted(video, target, sample_rate)) is not None:
        limits.check_length(kept.n_samples, sample_rate)
        return kept
    waveform, warnings = load_with_warnings(video, sample_rate=sample_rate, limits=limits)
    _write(target, waveform, sample_rate, _BETWEEN.join([_stamp(video), *warnings]))
    return Measured(len(waveform), warnings)


def _extracted(video: Path, target: Path, sample_rate: int) -> Measured | None:
    """The length of a target that needs no making, or None."""
    try:
        n_samples = measure_audio(target, sample_rate)
    except AudioError:
        return None
    with soundfile.SoundFile(target) as sound:
        stamp, *warnings = sound.comment.split(_BETWEEN)
    return Measured(n_samples, tuple(warnings)) if stamp == _stamp(video) else None


def _stamp(video: Path) -> str:
    """What shows that another clip was put in its place."""
    return f"{video.name}, {video.stat().st_size} bytes"


def _write(target: Path, waveform: FloatArray, sample_rate: int, comment: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_flac(target, waveform, sample_rate, comment=comment, is_locked=True)
