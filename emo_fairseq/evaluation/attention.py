"""The attention file: an ``.npz`` of a fusion's attention weights for a few utterances.

It holds ``utterances``, a JSON list with ``id``, ``split``, ``words`` (the tokens as text, or null)
and ``seconds`` (of the speech, or null) of each, and the weights of the n-th under
``n/NAME``; see :class:`emo_fairseq.modules.fusion.Fusion` for their names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.files.arrays import UnreadableArrayError, load_archive
from data_prep.files.documents import Document, parse_json
from data_prep.files.replacing import replacing
from emo_fairseq.errors import UsageError

_UTTERANCES = "utterances"
_REMEDY = "write one with --save-attention"


class UtteranceRow(Document):
    """The schema of one utterance of the list."""

    id: str
    split: str
    words: list[str] | None
    seconds: float | None
    weights: list[str] | None = None  # their names; None in a file of an older version


@dataclass(frozen=True, eq=False)
class Attended:
    """One utterance.

    Attributes:
        id: its name.
        split: that it is of.
        words: its text's tokens, boundaries included; None if the model reads no text of it.
        seconds: how long its speech is; None if the model reads no speech of it.
        weights: by name (T,) of a pooling, (layers, H, T_query, T_key) of cross-attention.
    """

    id: str
    split: str
    words: Sequence[str] | None
    seconds: float | None
    weights: Mapping[str, np.ndarray]


def write(path: Path, rows: Sequence[Attended]) -> None:
    """Write rows; the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    described = [
        {
            "id": row.id,
            "split": row.split,
            "words": row.words,
            "seconds": row.seconds,
            "weights": list(row.weights),
        }
        for row in rows
    ]
    arrays = {
        f"{number}/{name}": weights
        for number, row in enumerate(rows)
        for name, weights in row.weights.items()
    }
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{_UTTERANCES: np.array(json.dumps(described)), **arrays}
        )


def read(path: Path) -> list[Attended]:
    """Load what :func:`write` wrote.

    Raises:
        UsageError: there is no such file, or it is of another form.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; {_REMEDY}", "attention-missing")
    try:
        text, arrays = load_archive(path, _read_arrays)
    except UnreadableArrayError as error:
        raise UsageError(f"{path}: {error}; {_REMEDY}", "attention-invalid") from error
    rows = parse_json(text, list[UtteranceRow], name=f"{path}: {_UTTERANCES}", remedy=_REMEDY)
    return [_attended(path, number, row, arrays) for number, row in enumerate(rows)]


def _read_arrays(content: Any) -> tuple[str, dict[str, np.ndarray]]:
    arrays = {name: content[name] for name in content}
    return str(arrays.pop(_UTTERANCES)), arrays


def _attended(
    path: Path, number: int, row: UtteranceRow, arrays: Mapping[str, np.ndarray]
) -> Attended:
    prefix = f"{number}/"
    weights = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
    if row.weights is not None and set(row.weights) != set(weights):
        raise UsageError(
            f"{path}: the weights of {row.id} are {', '.join(weights) or 'absent'}, where "
            f"{', '.join(row.weights) or 'none'} were written; {_REMEDY}",
            "attention-incomplete",
        )
    return Attended(row.id, row.split, row.words, row.seconds, weights)
