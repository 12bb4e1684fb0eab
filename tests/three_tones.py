"""One long recording, three tones one after the other: each segment has to have its own."""

from pathlib import Path

import numpy as np
import soundfile

from data_prep.schema import Utterance

HERTZ = (300, 900, 2100)
SECONDS = 0.5  # of each tone
PEAK = 0.5
FRAMES = 8000  # of each, at 16 kHz


def write_recording(path: Path, rate: int = 44_100, subtype: str = "FLOAT") -> Path:
    """Write the tones as stereo, the same in both channels."""
    time = np.arange(round(SECONDS * rate)) / rate
    tones = np.concatenate([PEAK * np.sin(2 * np.pi * hertz * time) for hertz in HERTZ])
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([tones, tones], axis=1), rate, subtype)
    return path


def rows(audio: str = "long.wav") -> list[Utterance]:
    """A row a tone, the first and the last with one end open."""
    times = [(None, 0.5), (0.5, 1.0), (1.0, None)]
    return [
        Utterance(
            f"tone{number}",
            audio=audio,
            n_samples=FRAMES,
            emotion=("sad", "glad")[number % 2],
            speaker=f"s{number}",
            start=start,
            end=end,
        )
        for number, (start, end) in enumerate(times)
    ]


def pitch(samples: np.ndarray, rate: int = 16_000) -> int:
    """Return the tone of `HERTZ` that (n,) samples are, or raise AssertionError."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    loudest = float(np.argmax(spectrum)) * rate / len(samples)
    hertz = min(HERTZ, key=lambda tone: abs(tone - loudest))
    assert abs(hertz - loudest) < 20, loudest
    window = slice(int((hertz - 60) * len(samples) / rate), int((hertz + 60) * len(samples) / rate))
    assert (spectrum[window] ** 2).sum() > 0.98 * (spectrum**2).sum(), "several tones"
    return hertz
