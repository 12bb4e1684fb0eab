"""Write FLAC files atomically, and extract the audio of video clips."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from data_prep.audio.containers import load_av
from data_prep.audio.decoding import DEFAULT_LIMITS, AudioError, FloatArray
from data_prep.audio.loading import load_with_warnings, measure_audio
from data_prep.audio.part import Measured
from data_prep.engines import Workers, ordered_map
from data_prep.errors import CodedError
from data_prep.files.digests import file_digest
from data_prep.files.replacing import replacing
from data_prep.manifest.records import SAMPLE_RATE
from data_prep.progress import track


def write_flac(
    path: Path,
    samples: npt.NDArray[np.generic],
    sample_rate: int,
    *,
    comment: str = "",
    is_locked: bool = False,
) -> None:
    """Write a FLAC file atomically.

    Args:
        path: the file, replaced when the new one is complete.
        samples: (T,) or (T, channels), of any type that soundfile writes.
        sample_rate: in Hz.
        comment: text stored in the file.
        is_locked: whether no other process writes `path` at the same time.

    Raises:
        OSError: the file cannot be written; names it.
    """
    # Encoded in memory, since libsndfile does not report a full disk.
    content = encode_flac(samples, sample_rate, comment=comment)
    with replacing(path, is_locked=is_locked) as part:
        part.write_bytes(content)


def encode_flac(samples: npt.NDArray[np.generic], sample_rate: int, *, comment: str = "") -> bytes:
    """Return the content of a FLAC file; see `write_flac`."""
    content = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    options = {"format": "FLAC", "subtype": "PCM_16"}
    with soundfile.SoundFile(content, "w", sample_rate, channels, **options) as sound:
        if comment:
            sound.comment = comment
        sound.write(samples)
    return content.getvalue()


# -- Audio of video clips (mp4, avi, ...) ----------------------------------------------------------
# Mono, 16 bits. Surround is mixed as in ITU-R BS.775, as films have speech in the center channel.
# Needs PyAV: `pip install av`.

_BETWEEN = " | "  # separates the parts of a FLAC's comment


def extract_all(
    clips: Sequence[tuple[Path, Path]],
    *,
    max_seconds: float,
    workers: Workers = None,
    progress: bool = False,
) -> list[Measured | AudioError]:
    """Extract the audio of (video, target) pairs in threads or on a cluster; see `extract_audio`.

    Files that an interrupted run completed are kept.

    Returns:
        The length of each clip, in order, or its AudioError.

    Raises:
        ValueError: PyAV is not installed.
    """
    load_av()

    with ordered_map(partial(_build_extract, max_seconds), workers, 1, threads=True) as over:
        hide = not progress or not clips
        return list(track(over(clips), "sound of videos", len(clips), "clip", hide))


def _build_extract(
    max_seconds: float,
) -> Callable[[tuple[Path, Path]], Measured | AudioError]:
    def extract(clip: tuple[Path, Path]) -> Measured | AudioError:
        try:
            return extract_audio(*clip, max_seconds=max_seconds)
        except AudioError as error:
            return error

    return extract


def extract_audio(
    video: Path, target: Path, *, max_seconds: float, sample_rate: int = SAMPLE_RATE
) -> Measured:
    """Extract the audio of a video to a FLAC file, atomically.

    An existing target is kept if it can be decoded and its comment has the name and the
    digest of the video.

    Returns:
        The length of the audio.

    Raises:
        AudioError: the clip cannot be loaded or is too long; nothing is written.
    """
    limits = replace(DEFAULT_LIMITS, max_seconds=max_seconds)
    stamp = _stamp(video)
    if stamp and (kept := _extracted(stamp, target, sample_rate)) is not None:
        limits.check_length(kept.n_samples, sample_rate)
        return kept
    waveform, warnings = load_with_warnings(video, sample_rate=sample_rate, limits=limits)
    _write(target, waveform, sample_rate, _BETWEEN.join([stamp, *warnings]))
    return Measured(len(waveform), warnings)


def _extracted(stamp: str, target: Path, sample_rate: int) -> Measured | None:
    """Return the length of a target that can be kept, or None."""
    try:
        n_samples = measure_audio(target, sample_rate)
    except AudioError:
        return None
    with soundfile.SoundFile(target) as sound:
        known, *warnings = sound.comment.split(_BETWEEN)
    return Measured(n_samples, tuple(warnings)) if known == stamp else None


def _stamp(video: Path) -> str:
    """Return a text by which a changed clip is detected; empty if it cannot be read."""
    try:
        return f"{video.name}, SHA-256 {file_digest(video)}"
    except CodedError:
        return ""


def _write(target: Path, waveform: FloatArray, sample_rate: int, comment: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    write_flac(target, waveform, sample_rate, comment=comment, is_locked=True)
