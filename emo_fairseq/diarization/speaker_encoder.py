"""Embeddings of voices by the GE2E encoder (Wan et al. 2018) whose weights Resemblyzer carries.

Only the weights of the package are read, never its code: a three-layer LSTM over 40 mel bands
(power, not its logarithm) of 25 ms every 10 ms, trained on windows of 1.6 s. Two embeddings of one
voice have a higher cosine than those of two voices.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError

HOP = 160  # samples between two mel frames
WINDOW_FRAMES = 160  # 1.6 s, the length on which it was trained
_WINDOW = 400  # samples of a mel frame
_N_MELS = 40
_WIDTH = 256
_LAYERS = 3
_LEVEL_DB = -30.0  # to which quieter speech is amplified, as in its training
_AT_ONCE = 64  # windows of one call
_PACKAGE, _FILE = "resemblyzer", "pretrained.pt"


class SpeakerEncoder(nn.Module):
    """The encoder, with the weights of the package.

    Raises:
        UsageError: the package is not installed, or its file is not the one that is known.
    """

    filters: Tensor  # (40, 201)

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_N_MELS, _WIDTH, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_WIDTH, _WIDTH)
        self.register_buffer("filters", torch.from_numpy(mel_filters()).float(), persistent=False)
        weights = {
            name: value
            for name, value in _load_weights().items()
            if not name.startswith("similarity_")  # scale and offset of the loss
        }
        try:
            self.load_state_dict(weights)
        except RuntimeError as error:
            raise UsageError(
                f"telling speakers apart: {_PACKAGE}/{_FILE} is not the encoder of Resemblyzer "
                "0.1.4; install that version",
                "speaker-encoder-unreadable",
            ) from error
        self.eval()

    def forward(self, mels: Tensor) -> Tensor:
        """Return unit embeddings (B, 256) of mel power (B, frames, 40)."""
        _, (hidden, _) = self.lstm(mels)  # hidden: (layers, B, 256)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    @torch.no_grad()
    def embed(self, samples: FloatArray, starts: list[int], n_frames: int) -> FloatArray:
        """Return unit embeddings (n_windows, 256) of windows of speech.

        Args:
            samples: (n_samples,) at 16 kHz.
            starts: first mel frame of each window.
            n_frames: mel frames of a window.
        """
        mels = self.mel_power(amplified(samples))
        windows = torch.stack([mels[start : start + n_frames] for start in starts])
        return torch.cat([self(part) for part in windows.split(_AT_ONCE)]).numpy()

    def mel_power(self, samples: FloatArray) -> Tensor:
        """Return the power of mel bands (1 + n_samples // 160, 40)."""
        spectrum = torch.stft(
            torch.from_numpy(samples),
            _WINDOW,
            HOP,
            window=torch.hann_window(_WINDOW),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.abs().square()  # (201, frames)
        return (self.filters @ power).T.contiguous()


def amplified(samples: FloatArray) -> FloatArray:
    """Amplify speech below -30 dB of full scale to that level."""
    power = float(np.mean(np.square(samples), dtype=np.float64))
    wanted = 10 ** (_LEVEL_DB / 10)
    if not 0 < power < wanted:
        return np.ascontiguousarray(samples, np.float32)
    return np.asarray(samples * np.sqrt(wanted / power), np.float32)


def mel_filters() -> np.ndarray:
    """Return triangular filters (40, 201) of equal area, by the mel scale of Slaney (1998).

    It is linear up to 1 kHz, and logarithmic above.
    """
    step, corner, log_step = 200 / 3, 1000.0, np.log(6.4) / 27
    top = corner / step + np.log(SAMPLE_RATE / 2 / corner) / log_step
    mels = np.linspace(0, top, _N_MELS + 2)
    above = corner * np.exp(log_step * (mels - corner / step))
    borders = np.where(mels < corner / step, mels * step, above)  # in Hz
    frequencies = np.linspace(0, SAMPLE_RATE / 2, _WINDOW // 2 + 1)
    low, peak, high = borders[:-2, None], borders[1:-1, None], borders[2:, None]
    rising, falling = (frequencies - low) / (peak - low), (high - frequencies) / (high - peak)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


@functools.cache
def load_encoder() -> SpeakerEncoder:
    """Load the encoder once for all recordings."""
    return SpeakerEncoder()


def _load_weights() -> Any:
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin or "").parent / _FILE if spec else None
    if path is None or not path.is_file():
        raise UsageError(
            "telling speakers apart needs the weights of the package Resemblyzer: `pip install "
            "--no-deps -r requirements-weights.txt`; or leave out the speakers",
            "library-missing",
        )
    return torch.load(path, map_location="cpu", weights_only=True)["model_state"]
