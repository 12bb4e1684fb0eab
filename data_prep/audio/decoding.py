"""Audio files decoded block by block, and refused if they are not what their header says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

_BLOCK = 1 << 16  # frames decoded at a time, so that a long file costs no memory
# libsndfile's log of a WAV whose data chunk is longer than the file. A recorder that could not know
# the length writes 0xffffffff or thereabouts; that is a habit, not a cut.
_SHORT_CHUNK = re.compile(r"^\s*data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_LENGTH_UNKNOWN = 0x7FFF0000

Block = npt.NDArray[np.float32]  # (frames, channels), in [-1, 1]


class AudioError(ValueError):
    """What is wrong with one audio file, without its name: `truncated: 20000 of 32000 bytes`."""


def decode(path: str | Path, take: Callable[[Block], object]) -> tuple[int, int]:
    """Decode a whole file, giving each block to `take`; returns its frames and its sample rate.

    Raises AudioError for a file that is absent, empty, unreadable or cut short, and for one that
    holds no sound, or NaN or infinite samples.
    """
    if not Path(path).is_file():
        raise AudioError("there is no such file")
    if not Path(path).stat().st_size:
        raise AudioError("the file is empty (0 bytes)")
    try:
        with soundfile.SoundFile(path) as sound:
            return decode_open(sound, take), sound.samplerate
    except (soundfile.SoundFileError, OSError) as error:
        reason = str(error).replace(f"Error opening {str(path)!r}: ", "").strip()
        raise AudioError(f"unreadable: {reason}") from None


def decode_open(sound: soundfile.SoundFile, take: Callable[[Block], object]) -> int:
    """As `decode`, of a file that is open already, be it in memory; returns its frames.

    Raises AudioError as there, and what libsndfile raises.
    """
    _refuse_cut_wav(sound.extra_info)
    return _decode(sound, take)


def _refuse_cut_wav(log: str) -> None:
    chunk = _SHORT_CHUNK.search(log)
    if chunk and int(chunk[2]) < int(chunk[1]) < _LENGTH_UNKNOWN:
        raise AudioError(f"truncated: {chunk[2]} of {chunk[1]} bytes of sound")


def _decode(sound: soundfile.SoundFile, take: Callable[[Block], object]) -> int:
    frames = 0
    while len(block := sound.read(_BLOCK, dtype="float32", always_2d=True)):
        frames += len(block)
        if not np.isfinite(block).all():
            raise AudioError("holds samples that are NaN or infinite")
        take(block)
    if not frames:
        raise AudioError("holds no sound (0 samples)")
    if frames < sound.frames < _LENGTH_UNKNOWN:
        raise AudioError(f"truncated: {frames} of {sound.frames} samples decode")
    return frames
