"""Small video clips with sound, as MELD and CMU-MOSI ship theirs, made by PyAV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAMES_A_SECOND = 10
_CODECS = {".mp4": ("aac", "fltp"), ".avi": ("pcm_s16le", "s16"), ".mkv": ("flac", "s16")}


def write_video(
    path: Path,
    seconds: float = 0.5,
    *,
    rate: int = 48_000,
    layout: str = "stereo",
    levels: Sequence[float] = (),
    sound: bool = True,
    options: dict[str, str] | None = None,
) -> Path:
    """A gray clip whose channel k is a tone of 300 + 100 k Hz and amplitude `levels[k]` (0.3)."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    codec, sample_format = _CODECS[path.suffix]
    with av.open(str(path), "w", options=options or {}) as container:
        pictures = container.add_stream("mpeg4", rate=FRAMES_A_SECOND)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        voice = container.add_stream(codec, rate=rate, layout=layout) if sound else None
        gray = np.full((32, 32, 3), 128, np.uint8)
        for _ in range(max(1, round(seconds * FRAMES_A_SECOND))):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
        container.mux(pictures.encode(None))
        if voice is not None:
            samples = tones(seconds, rate, voice.layout.nb_channels, levels)
            for start in range(0, samples.shape[1], 1024):
                frame = _audio_frame(av, samples[:, start : start + 1024], sample_format, layout)
                frame.sample_rate, frame.pts = rate, start
                container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
    return path


def tones(seconds: float, rate: int, channels: int, levels: Sequence[float] = ()) -> np.ndarray:
    """(channels, n) sine waves."""
    time = np.arange(round(seconds * rate)) / rate
    levels = levels or [0.3] * channels
    waves = [a * np.sin(2 * np.pi * (300 + 100 * k) * time) for k, a in enumerate(levels)]
    return np.stack(waves).astype(np.float32)


def _audio_frame(av: Any, samples: np.ndarray, sample_format: str, layout: str) -> Any:
    if sample_format == "s16":
        samples = (samples.T.reshape(1, -1) * 32767).astype(np.int16)
    samples = np.ascontiguousarray(samples)
    return av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
