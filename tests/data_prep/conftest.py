"""Small corpora in their official layouts, and where the real ones lie."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

REPOSITORY = Path(__file__).resolve().parents[2]

WriteSound = Callable[..., Path]


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of a real corpus; skips the test where there is none."""

    def locate(corpus: str) -> Path:
        root = Path(os.environ.get("EMO_FAIRSEQ_DATA", REPOSITORY.parent / "shared" / "data"))
        if not (root / corpus).is_dir():
            pytest.skip(f"no real {corpus}: set EMO_FAIRSEQ_DATA to a folder that holds {corpus}/")
        return root / corpus

    return locate


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
