"""Audio files that are written here: FLAC, whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from data_prep.files.replacing import replacing


def write_flac(
    path: Path,
    samples: npt.NDArray[np.generic],
    sample_rate: int,
    *,
    bits: int = 16,
    comment: str = "",
    is_locked: bool = False,
) -> None:
    """Write samples (T,) or (T, channels) of any type that soundfile writes.

    Raises:
        OSError: the file cannot be written; names it.
    """
    # Encoded in memory, since libsndfile raises nothing on a full disk.
    content = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    form = {"format": "FLAC", "subtype": f"PCM_{bits}"}
    with soundfile.SoundFile(content, "w", sample_rate, channels, **form) as sound:
        if comment:
            sound.comment = comment
        sound.write(samples)
    with replacing(path, is_locked=is_locked) as part:
        part.write_bytes(content.getvalue())
