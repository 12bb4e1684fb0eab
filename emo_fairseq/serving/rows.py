"""Rows of a request to ``/api/predict``: several inputs, each with its own result."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import MULTIPART
from emo_fairseq.serving.request_fields import (
    Reader,
    audio_or_base64,
    list_of,
    object_fields,
    read_fields,
    text_up_to,
    video_or_base64,
)

# Of JSON a list of objects; of a form names that repeat, one entry of each in a row.
INPUTS, RECORDINGS, VIDEOS, TEXTS = "inputs", "recordings", "videos", "texts"
REPEATED = (RECORDINGS, VIDEOS, TEXTS)
_COLUMNS = {"audio": RECORDINGS, "video": VIDEOS, "text": TEXTS}  # by the field of a row

Row = Mapping[str, Any] | HttpError  # the fields of a row, or why they cannot be read


def row_readers(limits: Limits) -> dict[str, Reader]:
    """Return the readers of the fields that hold rows."""
    return {
        INPUTS: list_of(limits.rows, "objects with a text, or audio or video in base64"),
        RECORDINGS: list_of(limits.rows, "files; send multipart/form-data, or inputs as JSON"),
        VIDEOS: list_of(limits.rows, "files; send multipart/form-data, or inputs as JSON"),
        TEXTS: list_of(limits.rows, "texts; send multipart/form-data, or inputs as JSON"),
    }


def read_rows(fields: Mapping[str, Any], limits: Limits) -> list[Row] | None:
    """Return the rows of a request; None if it is a single input.

    Raises:
        HttpError: rows are given in two ways, or beside a single input, or not as many of each
            kind.
    """
    given = [name for name in (INPUTS, *REPEATED) if name in fields]
    if not given:
        return None
    if (INPUTS in given and len(given) > 1) or not fields.keys().isdisjoint(_COLUMNS):
        message = (
            "A request has either one input (audio, video, text) or rows (inputs; recordings, "
            "videos, texts)."
        )
        raise HttpError(400, message, "rows-ambiguous")
    readers = {
        "audio": audio_or_base64,
        "video": video_or_base64,
        "text": text_up_to(limits.text_characters),
    }
    if INPUTS in fields:
        return [_read(partial(object_fields, value, readers)) for value in fields[INPUTS]]
    columns = {name: fields[column] for name, column in _COLUMNS.items() if column in fields}
    if len({len(column) for column in columns.values()}) > 1:
        counts = [f"{len(column)} {_COLUMNS[name]}" for name, column in columns.items()]
        message = (
            f"There are {' and '.join(counts)}; send as many of each, with an empty text where "
            "there is none."
        )
        raise HttpError(400, message, "rows-unequal")
    pairs = [list(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [_read(partial(read_fields, MULTIPART, row, readers)) for row in pairs]


def _read(read: Callable[[], Mapping[str, Any]]) -> Row:
    try:
        return read()
    except HttpError as error:
        return error
