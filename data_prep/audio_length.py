"""How long an audio file really is: decoded whole, in parallel, counted at the corpus's rate."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

AUDIO_SUFFIXES = (".wav", ".flac")

_BLOCK = 1 << 16  # frames decoded at a time, so that a long file costs no memory
# libsndfile's log of a WAV whose data chunk is longer than the file. A recorder that could not know
# the length writes 0xffffffff or thereabouts; that is a habit, not a cut.
_SHORT_CHUNK = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
_LENGTH_UNKNOWN = 0x7FFF0000


class AudioError(ValueError):
    """What is wrong with one audio file, without its name: `truncated: 20000 of 32000 bytes`."""


def resampled_length(frames: int, source_rate: int, target_rate: int) -> int:
    """Samples per channel after resampling, rounded half up, as soxr counts them."""
    return (2 * frames * target_rate + source_rate) // (2 * source_rate)


def measure_audio(path: str | Path, target_rate: int) -> int:
    """Decode `path` and return its samples per channel at `target_rate`. Raises AudioError."""
    if not Path(path).is_file():
        raise AudioError("there is no such file")
    if not Path(path).stat().st_size:
        raise AudioError("the file is empty (0 bytes)")
    try:
        with soundfile.SoundFile(path) as sound:
            _refuse_cut_wav(sound.extra_info)
            frames = _decode(sound)
            return resampled_length(frames, sound.samplerate, target_rate)
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).replace(f"Error opening {str(path)!r}: ", "").strip()
        raise AudioError(f"unreadable: {reason}") from None


def _refuse_cut_wav(log: str) -> None:
    chunk = _SHORT_CHUNK.search(log)
    if chunk and int(chunk[2]) < int(chunk[1]) < _LENGTH_UNKNOWN:
        raise AudioError(f"truncated: {chunk[2]} of {chunk[1]} bytes of sound")


def _decode(sound: soundfile.SoundFile) -> int:
    """Count the frames that decode; refuse none, fewer than the header says, and NaN."""
    frames = 0
    for block in sound.blocks(_BLOCK, dtype="float32"):
        frames += len(block)
        if not np.isfinite(block).all():
            raise AudioError("holds samples that are NaN or infinite")
    if not frames:
        raise AudioError("holds no sound (0 samples)")
    if frames < sound.frames < _LENGTH_UNKNOWN:
        raise AudioError(f"truncated: {frames} of {sound.frames} samples decode")
    return frames


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
