"""A long recording as segments, each with its prediction."""

import math
from dataclasses import dataclass
from typing import Any

from data_prep.audio.part import SILENCE
from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction


@dataclass(frozen=True)
class Segment:
    """The prediction for a part of a recording, from `start` to `end` in seconds.

    `speaker` is that of the turn, where it has one.
    """

    start: float
    end: float
    prediction: Prediction
    speaker: str | None = None

    def as_dict(self, embedding: bool = False) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        times = {"start": self.start, "end": self.end}
        speaker = {} if self.speaker is None else {"speaker": self.speaker}
        return {**times, **speaker, **self.prediction.as_dict(embedding)}


def windows(
    n_samples: int, window_seconds: float, hop_seconds: float, max_seconds: float
) -> list[slice]:
    """Divide a recording into windows of equal length; the last one ends with the last sample.

    >>> [(w.start, w.stop) for w in windows(80_000, 2.0, 2.0, 20.0)]
    [(0, 32000), (32000, 64000), (48000, 80000)]

    Args:
        n_samples: at 16 kHz; fewer than a window are one window.
        window_seconds: length of each.
        hop_seconds: from the start of one to that of the next.
        max_seconds: the longest recording that the model reads whole.

    Raises:
        UsageError: windows that leave samples out, or that the model would truncate.
    """
    if not (math.isfinite(window_seconds) and math.isfinite(hop_seconds)):
        raise UsageError(
            f"a window of {window_seconds} s every {hop_seconds} s; give numbers", "window-invalid"
        )
    if window_seconds > max_seconds:
        raise UsageError(
            f"a window of {window_seconds:g} s: the model reads {max_seconds:g} s at once, as in "
            "its training; give so many at most",
            "window-too-long",
        )
    window, hop = round(window_seconds * SAMPLE_RATE), round(hop_seconds * SAMPLE_RATE)
    if not MIN_SAMPLES <= hop <= window:
        raise UsageError(
            f"a window of {window_seconds:g} s every {hop_seconds:g} s; give a hop of at least "
            f"{MIN_SAMPLES / SAMPLE_RATE:g} s, and a window that is no shorter",
            "window-invalid",
        )
    starts = list(range(0, max(1, n_samples - window + 1), hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [slice(start, min(start + window, n_samples)) for start in starts]


def cut_item(item: Item, window: slice) -> Item:
    """Return one window of an item with a recording.

    It has the item's whole text; of a transcript that has the times of its words those of the
    window, for which :class:`EmotionPredictor` replaces the text.
    """
    assert item.samples is not None
    start, end = window.start / SAMPLE_RATE, window.stop / SAMPLE_RATE
    samples = item.samples[window]
    warnings = tuple(warning for warning in item.warnings if warning != SILENCE)
    if not warnings and not samples.any():
        warnings = (SILENCE,)
    transcript = item.transcript and item.transcript.within(start, end)
    return Item(f"{start:g} s to {end:g} s", samples, item.text, end - start, warnings, transcript)
