"""Sound files, whole and cut, for small corpora in their official layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

WriteSound = Callable[..., Path]


@pytest.fixture
def write_sound() -> WriteSound:
    """Write a noise file of so many frames; the format follows from the suffix."""

    def write(path: Path, frames: int = 1600, rate: int = 16_000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (frames, channels) if channels > 1 else frames
        noise = np.random.default_rng(frames + channels).normal(0.0, 0.1, shape)
        soundfile.write(path, noise, rate)
        return path

    return write


@pytest.fixture
def cut() -> Callable[[Path], Path]:
    """Keep the first half of a file's bytes."""

    def halve(path: Path) -> Path:
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2])
        return path

    return halve
