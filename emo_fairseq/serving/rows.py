"""Rows of a request to ``/api/predict``: several recordings and texts, each with its own result."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from emo_fairseq.serving.http_errors import HttpError
from emo_fairseq.serving.limits import Limits
from emo_fairseq.serving.request_body import (
    MULTIPART,
    Reader,
    audio_or_base64,
    list_of,
    object_fields,
    read_fields,
    text_up_to,
)

# Of JSON a list of objects; of a form two names that repeat, one entry of each in a row.
INPUTS, RECORDINGS, TEXTS = "inputs", "recordings", "texts"
REPEATED = (RECORDINGS, TEXTS)

Row = Mapping[str, Any] | HttpError  # the fields of a row, or why they cannot be read


def row_readers(limits: Limits) -> dict[str, Reader]:
    """Return the readers of the fields that hold rows."""
    return {
        INPUTS: list_of(limits.rows, "objects with a text, or audio in base64, or both"),
        RECORDINGS: list_of(limits.rows, "files; send multipart/form-data, or inputs as JSON"),
        TEXTS: list_of(limits.rows, "texts; send multipart/form-data, or inputs as JSON"),
    }


def read_rows(fields: Mapping[str, Any], limits: Limits) -> list[Row] | None:
    """Return the rows of a request; None if it is a single input.

    Args:
        fields: of the request, by :func:`row_readers`.
        limits: of each row.

    Raises:
        HttpError: rows are given in two ways, or beside a single input, or not as many texts as
            recordings.
    """
    given = [name for name in (INPUTS, *REPEATED) if name in fields]
    if not given:
        return None
    if (INPUTS in given and len(given) > 1) or not fields.keys().isdisjoint(("audio", "text")):
        message = (
            "A request has either one input (audio, text) or rows (inputs; recordings, texts)."
        )
        raise HttpError(400, message, "rows-ambiguous")
    readers = {"audio": audio_or_base64, "text": text_up_to(limits.text_characters)}
    if INPUTS in fields:
        return [_read(partial(object_fields, value, readers)) for value in fields[INPUTS]]
    recordings, texts = fields.get(RECORDINGS), fields.get(TEXTS)
    if recordings is not None and texts is not None and len(recordings) != len(texts):
        message = (
            f"There are {len(recordings)} recordings and {len(texts)} texts; send as many, with an "
            "empty text where there is none."
        )
        raise HttpError(400, message, "rows-unequal")
    columns = {"audio": recordings, "text": texts}
    columns = {name: column for name, column in columns.items() if column is not None}
    pairs = [list(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [_read(partial(read_fields, MULTIPART, row, readers)) for row in pairs]


def _read(read: Callable[[], Mapping[str, Any]]) -> Row:
    try:
        return read()
    except HttpError as error:
        return error
