"""Small video clips with sound, as MELD and CMU-MOSI ship theirs, made by PyAV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAMES_A_SECOND = 10
_CODECS = {".mp4": ("aac", "fltp"), ".avi": ("pcm_s16le", "s16"), ".mkv": ("flac", "s16")}
_ENCODED: dict[str, bytes] = {}


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
    """A gray clip whose channel k is a tone of 300 + 100 k Hz and amplitude `levels[k]` (0.3).

    The same clip is encoded once.
    """
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = repr((path.suffix, seconds, rate, layout, tuple(levels), sound, options))
    if clip in _ENCODED:
        path.write_bytes(_ENCODED[clip])
        return path
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
    _ENCODED[clip] = path.read_bytes()
    return path


def write_pictures(
    path: Path, pictures: Sequence[np.ndarray], rate: int = 10, sound: np.ndarray | None = None
) -> Path:
    """A clip of pictures (H, W, 3), without losses, and mono samples at 16 kHz as its sound."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=rate, options={"crf": "0"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "rgb24"
        voice = None if sound is None else container.add_stream("aac", rate=16_000, layout="mono")
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
        if voice is not None and sound is not None:
            for start in range(0, len(sound), 1024):
                part = sound[None, start : start + 1024].astype(np.float32)
                frame = _audio_frame(av, part, "fltp", "mono")
                frame.sample_rate, frame.pts = 16_000, start
                container.mux(voice.encode(frame))
            container.mux(voice.encode(None))
    return path


def numbered(n_pictures: int, size: tuple[int, int] = (32, 48)) -> list[np.ndarray]:
    """Pictures (H, W, 3), number k of the gray 10 k."""
    return [np.full((*size, 3), 10 * number, np.uint8) for number in range(n_pictures)]


def draw_face(mouth: float, size: tuple[int, int] = (160, 160), shift: int = 0) -> np.ndarray:
    """A drawn face (H, W, 3), whose mouth is open between 0 and 1, `shift` pixels to the right."""
    image_draw = pytest.importorskip("PIL.ImageDraw")
    image = pytest.importorskip("PIL.Image").new("RGB", (size[1], size[0]), (90, 110, 140))
    draw = image_draw.Draw(image)
    x, y = size[1] // 2 + shift, size[0] // 2
    draw.ellipse((x - 48, y - 62, x + 48, y + 62), fill=(222, 184, 150))
    draw.chord((x - 50, y - 70, x + 50, y + 6), 180, 360, fill=(60, 40, 25))  # hair
    for side in (-20, 20):
        draw.ellipse((x + side - 11, y - 22, x + side + 11, y - 10), fill=(250, 250, 250))
        draw.ellipse((x + side - 5, y - 21, x + side + 5, y - 11), fill=(40, 25, 15))
        draw.rectangle((x + side - 14, y - 31, x + side + 14, y - 26), fill=(50, 30, 20))
    draw.polygon([(x, y - 8), (x - 9, y + 16), (x + 9, y + 16)], fill=(196, 150, 120))
    opening = 4 + round(14 * mouth)
    draw.ellipse((x - 22, y + 34 - opening // 2, x + 22, y + 34 + opening // 2), fill=(130, 40, 45))
    return np.asarray(image)


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
