"""The audio of an item: a file, a segment or the content of one, or an array."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from data_prep.audio.decoding import AudioError, FloatArray
from data_prep.audio.loading import load_with_warnings
from data_prep.audio.segment import AudioSegment, as_segment
from emo_fairseq.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Audio = Union[str, Path, bytes, AudioSegment, np.ndarray, "Tensor"]
LoadSegment = Callable[[AudioSegment], tuple[FloatArray, tuple[str, ...]]]


def load_item_audio(
    audio: Audio, sample_rate: float | None, name: str, load: LoadSegment | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Load the audio of an item by the rules of :mod:`data_prep.audio.loading`.

    Args:
        audio: a file, a segment of it, or the content of a file; or an array or tensor (T,) or
            (T, channels), floating in [-1, 1], or int16, int32 or uint8.
        sample_rate: of an array, in Hz; a file states its own.
        name: of the item, for messages.
        load: loads a segment of a file; None: by itself.

    Returns:
        Mono float32 samples (T,) at 16 kHz, and warnings, such as of digital silence.

    Raises:
        UsageError: it cannot be used; names the item, the file and the reason.
    """
    is_file = isinstance(audio, str | Path | AudioSegment)
    try:
        if isinstance(audio, str | Path | AudioSegment):
            part = as_segment(audio)
            if load is not None:
                return load(part)
            return load_with_warnings(
                part.path, start=part.start, end=part.end, channel=part.channel
            )
        if isinstance(audio, bytes):  # of a video
            return load_with_warnings(audio)
        return load_with_warnings(_as_array(audio, name), source_rate=sample_rate)
    except AudioError as error:
        where = f"{name}: {audio}" if is_file else name  # type: ignore[str-bytes-safe]
        raise UsageError(f"{where}: {error}", error.code) from error


def _as_array(audio: Any, name: str) -> np.ndarray:
    try:
        if hasattr(audio, "is_floating_point"):  # a tensor of torch, which need not be installed
            audio = audio.detach().cpu()
            # numpy has not all of torch's floats, such as bfloat16
            audio = (audio.float() if audio.is_floating_point() else audio).numpy()
        return np.asarray(audio)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{name}: audio of {type(audio).__name__} that is no array of numbers ({reason}); give "
            "a file, or numbers (T,) or (T, channels)",
            "audio-type",
        ) from error
