"""The table of a packed split: for each row of its manifest, where its samples are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum
from hashlib import blake2b, sha256

import numpy as np
import numpy.typing as npt

from data_prep.manifest.segment import segment_key
from data_prep.manifest.table import numbers, values
from data_prep.schema import Utterance

_KEY_BYTES = 16
NO_SOURCE = 2**32 - 1

# Samples are stacked in the order of rows, so that a row begins where those before it end.
ROW = np.dtype(
    [
        ("n_samples", "<u4"),
        ("crc32", "<u4"),  # of the bytes of its samples
        ("source", "<u4"),  # number of its file in the table of files; NO_SOURCE = none
        ("shift", "<u2"),  # see quantizing
        ("state", "u1"),
        ("is_odd", "u1"),  # whether something was reported of it
        ("key", "u1", (_KEY_BYTES,)),  # digest of path and segment, by which rows are found again
    ]
)

Keys = npt.NDArray[np.uint8]


class State(IntEnum):
    """What a row of the table has."""

    NO_AUDIO = 0  # nor has the manifest
    EXACT = 1  # the samples of the source
    ROUNDED = 2  # to 16 bits
    UNREADABLE = 3  # no samples; the file is read when the row is, and refused or read then


def row_keys(rows: Sequence[Utterance]) -> Keys:
    """Return (N, 16) digests of the audio and the segment of each row; 0 without audio."""
    columns = values(rows, "audio"), numbers(rows, "start").tolist(), numbers(rows, "end").tolist()
    keys = b"".join(
        bytes(_KEY_BYTES) if audio is None else _key(f"{audio}{_segment(start, end)}")
        for audio, start, end in zip(*columns, strict=True)
    )
    return np.frombuffer(keys, np.uint8).reshape(-1, _KEY_BYTES)


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_KEY_BYTES).digest()


def _segment(start: float, end: float) -> str:
    """Return a segment as text; NaN is missing."""
    if math.isnan(start) and math.isnan(end):
        return ""
    return segment_key(None if math.isnan(start) else start, None if math.isnan(end) else end)


def keys_digest(keys: Keys) -> str:
    """Return the SHA-256 of the keys of a split, which changes with any path, segment or order."""
    return sha256(keys.tobytes()).hexdigest()
