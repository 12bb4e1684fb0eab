"""How long an audio file really is: decoded whole, in parallel, counted at the corpus's rate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from data_prep.audio.decoding import AudioError, decode

__all__ = ["AudioError", "default_workers", "measure_all", "measure_audio", "resampled_length"]

AUDIO_SUFFIXES = (".wav", ".flac")


def resampled_length(frames: int, source_rate: int, target_rate: int) -> int:
    """Samples per channel after resampling, rounded half up, as soxr counts them."""
    return (2 * frames * target_rate + source_rate) // (2 * source_rate)


def measure_audio(path: str | Path, target_rate: int) -> int:
    """Decode `path` and return its samples per channel at `target_rate`. Raises AudioError."""
    frames, rate = decode(path, take=len)
    return resampled_length(frames, rate, target_rate)


def measure_all(
    paths: Sequence[Path], target_rate: int, *, workers: int | None = None, progress: bool = False
) -> list[int | AudioError]:
    """`measure_audio` over `paths`, in order and in threads; an error takes its file's place."""

    def measure(path: Path) -> int | AudioError:
        try:
            return measure_audio(path, target_rate)
        except AudioError as error:
            return error

    with ThreadPoolExecutor(workers or default_workers()) as pool:
        found = pool.map(measure, paths)
        hide = not progress or not paths
        return list(tqdm(found, "audio", total=len(paths), unit="file", disable=hide))


def default_workers() -> int:
    """Threads that decode audio unless told: one a core, eight at most."""
    return min(8, os.cpu_count() or 1)
