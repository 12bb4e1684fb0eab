"""Probability of speech by Silero's voice activity detector, as a stream.

The network is the one in faster-whisper's wheel (Silero VAD 6, 16 kHz). It reads frames of 512
samples (32 ms), each with the last 64 samples of the frame before, and has an LSTM over the frames
whose state is kept between two calls.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.audio.decoding import FloatArray
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.errors import UsageError

FRAME = 512  # samples
FRAMES_PER_SECOND = SAMPLE_RATE / FRAME
_CONTEXT = 64
_STATE = (1, 1, 128)
_FILE = "assets/silero_vad_v6.onnx"
_AT_ONCE = 512  # frames of one call, which bounds its memory


class SpeechProbabilities:
    """Probability of speech in each frame of one channel.

    Several objects share the network, and may be used in several threads.

    Raises:
        UsageError: faster-whisper is not installed, or holds no such network.
    """

    def __init__(self) -> None:
        self._session = _load_session()
        self._hidden = np.zeros(_STATE, np.float32)
        self._cell = np.zeros(_STATE, np.float32)
        self._context = np.zeros(_CONTEXT, np.float32)
        self._rest = np.zeros(0, np.float32)

    def feed(self, block: FloatArray) -> FloatArray:
        """Return the probabilities (n_frames,) of the frames that a block completes.

        Args:
            block: (n_samples,) at 16 kHz, of any length.
        """
        samples = np.concatenate([self._rest, block], dtype=np.float32)
        n_frames = len(samples) // FRAME
        self._rest = samples[n_frames * FRAME :]
        parts = [
            self._run(samples[start * FRAME : min(start + _AT_ONCE, n_frames) * FRAME])
            for start in range(0, n_frames, _AT_ONCE)
        ]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def finish(self) -> FloatArray:
        """Return the probability (1,) of an incomplete last frame; (0,) if there is none."""
        rest, self._rest = self._rest, np.zeros(0, np.float32)
        if not len(rest):
            return rest
        return self._run(np.pad(rest, (0, FRAME - len(rest))))

    def _run(self, samples: FloatArray) -> FloatArray:
        frames = samples.reshape(-1, FRAME)
        contexts = np.concatenate([self._context[None], frames[:-1, -_CONTEXT:]])
        self._context = frames[-1, -_CONTEXT:].copy()
        inputs = {
            "input": np.concatenate([contexts, frames], axis=1),  # (n_frames, 576)
            "h": self._hidden,
            "c": self._cell,
        }
        probabilities, self._hidden, self._cell = self._session.run(None, inputs)
        return np.asarray(probabilities, np.float32).reshape(-1)


@functools.cache
def _load_session() -> Any:
    """Load the network once for all streams; each call of it runs on one core."""
    spec = importlib.util.find_spec("faster_whisper")
    path = Path(spec.origin or "").parent / _FILE if spec else None
    if path is None or not path.is_file():
        why = "is not installed" if path is None else f"has no {_FILE}"
        raise UsageError(
            f"finding speech needs the network of faster-whisper, which {why}: "
            '`pip install -e ".[conversations]"`',
            "library-missing",
        )
    onnxruntime = importlib.import_module("onnxruntime")  # which faster-whisper depends on
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # which would keep the memory of the largest call
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"], sess_options=options
    )
