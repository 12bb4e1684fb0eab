"""Segments of long recordings as files of their own, for corpora whose rows name whole files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from data_prep.audio.loading import AudioError, read_segment
from data_prep.files.replacing import replacing

SUFFIX = ".flac"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stretch:
    """From `start` to `end` (None: the recording's), in seconds, of `source`, into `target`."""

    source: Path
    start: float
    end: float | None
    target: Path


def cut_all(stretches: Sequence[Stretch]) -> list[AudioError | None]:
    """Write every segment as FLAC, channels and rate as they are; an error takes its place.

    16-bit recordings stay so, all others get 24 bits. FLAC has no samples beyond full scale: those
    of floating-point recordings are clipped, and counted in a warning.
    """
    errors: list[AudioError | None] = []
    clipped = 0
    for stretch in stretches:
        try:
            clipped += _cut(stretch)
            errors.append(None)
        except AudioError as error:
            errors.append(error)
    if clipped:
        logger.warning("%d samples beyond full scale were clipped in segments cut out", clipped)
    return errors


def _cut(stretch: Stretch) -> int:
    """Write one, and return how many samples were clipped."""
    segment = read_segment(stretch.source, stretch.start, stretch.end)
    bits = 16 if segment.subtype == "PCM_16" else 24
    # Not libsndfile's own conversion, which scales by 32767 and so changes 16-bit samples.
    levels = np.round(segment.samples * np.float64(2 ** (bits - 1)))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    clipped = int(((segment.samples < -1) | (segment.samples > 1)).sum())
    integers = np.clip(levels, low, high).astype(np.int32) << (32 - bits)
    stretch.target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(stretch.target) as part:
        rate = round(segment.rate)
        soundfile.write(part, integers, rate, format="FLAC", subtype=f"PCM_{bits}")
    return clipped
