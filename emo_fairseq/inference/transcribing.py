"""Speech without a transcript: what turns samples into text, for models that read both.

Any function from (T,) mono float32 samples at 16 kHz to text will do::

    predictor.predict("call.wav", transcribe=my_predictor_of_speech)
"""

import importlib
from typing import Any

from data_prep.audio.frames import FloatArray
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.items import Transcribe


def faster_whisper(
    model: str = "tiny.en", device: str = "cpu", compute_type: str = "int8", **options: Any
) -> Transcribe:
    """Whisper as faster-whisper runs it.

    Args:
        model: a folder with a converted model; or a name, whose files the library fetches from the
            hub unless they are there already.
        device: ``cpu`` or ``cuda``.
        compute_type: the numbers that it computes with.
        options: of its ``transcribe``, such as ``language="en"``.

    Raises:
        UsageError: the library is not installed, or cannot read the model.
    """
    try:
        library = importlib.import_module("faster_whisper")
    except ImportError as error:
        raise UsageError(
            'transcribing needs the library faster-whisper: `pip install -e ".[asr]"`'
        ) from error
    try:
        whisper = library.WhisperModel(model, device=device, compute_type=compute_type)
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"Whisper {model}: cannot be loaded ({error}); give the folder of a converted model"
        ) from error

    def transcribe(samples: FloatArray) -> str:
        segments, _ = whisper.transcribe(samples, **options)
        return " ".join(segment.text.strip() for segment in segments)

    return transcribe
