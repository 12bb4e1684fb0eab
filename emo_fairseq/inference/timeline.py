"""A long recording as stretches, each with its answer."""

import math
from dataclasses import dataclass
from typing import Any

from data_prep.schema import SAMPLE_RATE
from emo_fairseq.data.audio import MIN_SAMPLES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.prediction import Prediction


@dataclass(frozen=True)
class Segment:
    """One stretch, from `start` to `end` in seconds."""

    start: float
    end: float
    prediction: Prediction

    def as_dict(self, embedding: bool = False) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        place = {"start": self.start, "end": self.end}
        return {**place, **self.prediction.as_dict(embedding)}


def windows(
    n_samples: int, window_seconds: float, hop_seconds: float, longest_seconds: float
) -> list[slice]:
    """Stretches of equal length that cover all samples; the last one ends with the last sample.

    >>> [(w.start, w.stop) for w in windows(80_000, 2.0, 2.0, 20.0)]
    [(0, 32000), (32000, 64000), (48000, 80000)]

    Args:
        n_samples: at 16 kHz; fewer than a window are one stretch.
        window_seconds: length of each.
        hop_seconds: from one to the next.
        longest_seconds: that the model hears at once.

    Raises:
        UsageError: lengths that leave samples out, or that the model would cut.
    """
    if not (math.isfinite(window_seconds) and math.isfinite(hop_seconds)):
        raise UsageError(f"a window of {window_seconds} s every {hop_seconds} s; give numbers")
    if window_seconds > longest_seconds:
        raise UsageError(
            f"a window of {window_seconds:g} s: the model hears {longest_seconds:g} s at once, as "
            "in its training; give so many at most"
        )
    window, hop = round(window_seconds * SAMPLE_RATE), round(hop_seconds * SAMPLE_RATE)
    if not MIN_SAMPLES <= hop <= window:
        raise UsageError(
            f"a window of {window_seconds:g} s every {hop_seconds:g} s; give a hop of at least "
            f"{MIN_SAMPLES / SAMPLE_RATE:g} s, and a window that is no shorter"
        )
    starts = list(range(0, max(1, n_samples - window + 1), hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [slice(start, min(start + window, n_samples)) for start in starts]
