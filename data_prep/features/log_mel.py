"""Log-mel frames of audio files: Kaldi's filterbanks, 80 bands, 25 ms every 10 ms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.audio.frames import log_mel, num_frames
from data_prep.audio.part import WINDOW_MS
from data_prep.audio.segment import AudioSegment
from data_prep.schema import SAMPLE_RATE

LOG_MEL = "log_mel"
N_MELS = 80
SETTINGS = {"features": LOG_MEL, "n_mels": N_MELS, "sample_rate": SAMPLE_RATE}


def frames_of(waveform: FloatArray) -> FloatArray:
    """Compute log-mel frames (T, N_MELS) at 16 kHz; less than one frame is padded with zeros."""
    one_frame = SAMPLE_RATE * WINDOW_MS // 1000
    if num_frames(len(waveform)) == 0:
        waveform = np.pad(waveform, (0, one_frame - len(waveform)))
    return log_mel(waveform, SAMPLE_RATE, N_MELS)


def build_log_mel() -> Callable[[AudioSegment], FloatArray]:
    """Build the function that loads audio and computes its frames."""
    return lambda audio: frames_of(audio.load())
