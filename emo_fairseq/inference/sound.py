"""Recordings of items, files or arrays of any rate, as mono samples at 16 kHz."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_prep.audio.loading import AudioError, FloatArray, load_with_warnings
from data_prep.audio.segment import AudioSegment, as_segment
from emo_fairseq.errors import UsageError

Audio = str | Path | AudioSegment | np.ndarray | torch.Tensor


def load_item_audio(
    audio: Audio, sample_rate: float | None, name: str
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load the audio of an item by the rules of :mod:`data_prep.audio.loading`.

    Args:
        audio: a file, or a segment of it; or an array or tensor (T,) or (T, channels), floating in
            [-1, 1], or int16, int32 or uint8.
        sample_rate: of an array, in Hz; a file states its own.
        name: of the item, for messages.

    Returns:
        Mono float32 samples (T,) at 16 kHz, and warnings, such as of digital silence.

    Raises:
        UsageError: it cannot be used; names the item, the file and the reason.
    """
    try:
        if isinstance(audio, str | Path | AudioSegment):
            part = as_segment(audio)
            return load_with_warnings(part.path, start=part.start, end=part.end)
        return load_with_warnings(_as_array(audio, name), source_rate=sample_rate)
    except AudioError as error:
        is_file = isinstance(audio, str | Path | AudioSegment)
        where = f"{name}: {audio}" if is_file else name
        raise UsageError(f"{where}: {error}") from error


def _as_array(audio: Any, name: str) -> np.ndarray:
    try:
        if isinstance(audio, torch.Tensor):
            audio = audio.detach().cpu()
            # numpy has not all of torch's floats, such as bfloat16
            audio = (audio.float() if audio.is_floating_point() else audio).numpy()
        return np.asarray(audio)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{name}: audio of {type(audio).__name__} that is no array of numbers ({reason}); give "
            "a file, or numbers (T,) or (T, channels)"
        ) from error
