"""Cells of published tables: lists of numbers and sounds, in Parquet and in CSV."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.features.frame_files import FloatArray

_BETWEEN_NUMBERS = re.compile(r"(?<=[\d.])\s+(?=[-\d])")
_BETWEEN_ROWS = re.compile(r"\]\s+\[")
_NUMPY_ARRAY = re.compile(r"\barray\((\[[^()]*\])(?:,\s*dtype=\w+)?\)")
RESULT_KEY = "feats"  # of the record in which FunASR returns the features of a recording


@dataclass(frozen=True)
class Sound:
    """Audio as `datasets` stores it: the file itself, its path, or both."""

    content: bytes | None
    path: str | None


def as_sound(value: Any) -> Sound | None:
    """Read a struct {bytes, path}, its text in a CSV, or a path. Raises ValueError for others."""
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
    """Read (T, C) from a list of lists, (1, C) from a list of numbers, or the text of either.

    A result of emotion2vec as FunASR returns it, `[{"feats": ...}]`, is read as its features.
    Raises ValueError for other values, and for rows of several lengths.
    """
    if isinstance(value, str):
        value = _parse_list(value) if value.strip() else None
    value = _features_of_result(value)
    if value is None:
        return None
    try:
        array = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError(f"no list of numbers, or of lists of one length ({error})") from None
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(f"of shape {array.shape}, neither (C,) nor (T, C)")
    return array if array.ndim == 2 else array[None, :]


def _features_of_result(value: Any) -> Any:
    """Return the features of `[{"feats": ...}]`, or of the record alone; other values unchanged."""
    records = [value] if isinstance(value, Mapping) else value
    if not isinstance(records, list | np.ndarray) or not len(records):
        return value
    if not all(isinstance(record, Mapping) for record in records):
        return value
    if len(records) > 1:
        raise ValueError(f"{len(records)} results; a row has one, of its own recording")
    if RESULT_KEY not in records[0]:
        keys = ", ".join(map(str, records[0]))
        raise ValueError(f"a record of {keys or 'nothing'}, and none of {RESULT_KEY}")
    return records[0][RESULT_KEY]


def _parse_list(text: str) -> Any:
    """Parse the text of a list, with commas or as numpy prints it."""
    if "..." in text:
        raise ValueError("cut short by a printer's '...'; export the table as Parquet")
    plain_lists = _NUMPY_ARRAY.sub(r"\1", text.strip())
    commas = _BETWEEN_ROWS.sub("], [", _BETWEEN_NUMBERS.sub(", ", plain_lists))
    try:
        return ast.literal_eval(commas)
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"the text of no list ({error})") from None
