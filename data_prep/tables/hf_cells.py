"""Cells of a table that are no plain values: lists of numbers and sounds, in Parquet and in CSV."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.features.frame_files import FloatArray

_BETWEEN_NUMBERS = re.compile(r"(?<=[\d.])\s+(?=[-\d])")
_BETWEEN_ROWS = re.compile(r"\]\s+\[")


@dataclass(frozen=True)
class Sound:
    """What `datasets` keeps of audio: the file itself, its path, or both."""

    content: bytes | None
    path: str | None


def as_sound(value: Any) -> Sound | None:
    """A struct {bytes, path}, its text in a CSV, or a path. Raises ValueError for anything else."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError) as error:
            raise ValueError(f"no text of a struct {{bytes, path}} ({error})") from None
    if not value:
        return None
    if isinstance(value, str):
        return Sound(None, value)
    if not isinstance(value, dict) or not {"bytes", "path"} >= set(value):
        raise ValueError(f"neither a path nor a struct {{bytes, path}}, but {type(value).__name__}")
    sound = Sound(value.get("bytes"), value.get("path"))
    return sound if sound.content or sound.path else None


def as_frames(value: Any) -> FloatArray | None:
    """(T, C) of a list of lists, (1, C) of a list of numbers, or of the text of either in a CSV.

    Raises ValueError for what is neither, or has rows of several lengths.
    """
    if isinstance(value, str):
        value = _parse_list(value) if value.strip() else None
    if value is None:
        return None
    try:
        array = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"no list of numbers, or of lists of one length ({error})") from None
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"of shape {array.shape}, neither (C,) nor (T, C)")
    return array if array.ndim == 2 else array[None, :]


def _parse_list(text: str) -> Any:
    """The text of a list, with commas or as numpy prints it."""
    if "..." in text:
        raise ValueError("cut short by a printer's '...'; export the table as Parquet")
    commas = _BETWEEN_ROWS.sub("], [", _BETWEEN_NUMBERS.sub(", ", text.strip()))
    try:
        return ast.literal_eval(commas)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"the text of no list ({error})") from None
