"""The attention file: an ``.npz`` of what a fusion looked at in a few utterances.

It holds ``utterances``, a JSON list with ``id``, ``split``, ``words`` (the tokens as text, or null)
and ``seconds`` (of the speech that was heard, or null) of each, and the weights of the n-th under
``n/NAME``; see :class:`emo_fairseq.modules.fusion.Fusion` for their names.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.documents import Document, parse_json
from data_prep.files.replacing import replacing
from data_prep.schema import ManifestError
from emo_fairseq.errors import UsageError

# What numpy.load raises for a file that is damaged, or of another kind.
UNREADABLE = (
    *(OSError, ValueError, LookupError, TypeError, EOFError, AttributeError),
    *(zipfile.BadZipFile, zlib.error),
)
_UTTERANCES = "utterances"


class UtteranceRow(Document):
    """What is kept of one utterance beside its weights."""

    id: str
    split: str
    words: list[str] | None
    seconds: float | None


@dataclass(frozen=True, eq=False)
class Attended:
    """One utterance.

    Attributes:
        id: its name.
        split: that it is of.
        words: its text's tokens, boundaries included; None if it was not read, or has none.
        seconds: how long its speech is; None if it was not heard.
        weights: by name (T,) of a pooling, (layers, H, T_query, T_key) of cross-attention.
    """

    id: str
    split: str
    words: Sequence[str] | None
    seconds: float | None
    weights: Mapping[str, np.ndarray]


def write(path: Path, rows: Sequence[Attended]) -> None:
    """Write rows; the file is complete or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = [
        {"id": row.id, "split": row.split, "words": row.words, "seconds": row.seconds}
        for row in rows
    ]
    arrays = {
        f"{number}/{name}": weights
        for number, row in enumerate(rows)
        for name, weights in row.weights.items()
    }
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file, allow_pickle=False, **{_UTTERANCES: np.array(json.dumps(told)), **arrays}
        )


def read(path: Path) -> list[Attended]:
    """Read what :func:`write` wrote.

    Raises:
        UsageError: there is no such file, or it is of another form.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; write one with --save-attention")
    try:
        with np.load(path, allow_pickle=False) as content:
            rows = parse_json(
                str(content[_UTTERANCES]),
                list[UtteranceRow],
                name=f"{path}: {_UTTERANCES}",
                remedy="write one with --save-attention",
            )
            weights = [_weights_of(number, content) for number in range(len(rows))]
        return [
            Attended(**row.model_dump(), weights=found)
            for row, found in zip(rows, weights, strict=True)
        ]
    except ManifestError as error:
        raise UsageError(str(error)) from error
    except UNREADABLE as error:
        raise UsageError(
            f"{path}: cannot be read ({error}); write one with --save-attention"
        ) from error


def _weights_of(number: int, content: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = f"{number}/"
    return {name.removeprefix(prefix): content[name] for name in content if name.startswith(prefix)}
