"""The embeddings file: an ``.npz`` of ``ids`` (N,), ``splits`` (N,) and ``embeddings`` (N, D)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.files.arrays import UnreadableArrayError, load_archive
from data_prep.files.replacing import replacing
from emo_fairseq.errors import UsageError

_REMEDY = (
    "write it with fairseq-validate --save-embeddings FILE, or with numpy.savez(FILE, ids=..., "
    "embeddings=...): N names, and an array (N, D)"
)


@dataclass(frozen=True, eq=False)  # no tuple: fairseq rebuilds those that ranks exchange
class Embedded:
    """One utterance.

    Attributes:
        id: its name.
        split: that it is of.
        vector: (D,) float32, the input of the head.
    """

    id: str
    split: str
    vector: np.ndarray


def write(path: Path, rows: Sequence[Embedded]) -> None:
    """Write rows in the order of split and id; the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = sorted(rows, key=lambda row: (row.split, row.id))
    with replacing(path) as part, part.open("wb") as file:
        np.savez(
            file,
            ids=np.array([row.id for row in ordered]),
            splits=np.array([row.split for row in ordered]),
            embeddings=np.stack([row.vector for row in ordered]),
        )


def read_embeddings(file: Path, split: str, ids: Sequence[str]) -> np.ndarray:
    """Load embeddings in the order of some utterances.

    Args:
        file: of ``--save-embeddings``; without ``splits`` its names may be of any split.
        split: that the ids are of.
        ids: N names.

    Returns:
        (N, D) float64; NaN for utterances that the file does not name.

    Raises:
        UsageError: no such file, another form, or none of the ids.
    """
    if not file.is_file():
        raise UsageError(f"--embeddings {file}: there is no such file", "embeddings-missing")
    try:
        names, values, splits = load_archive(file, _read_embeddings)
    except UnreadableArrayError as error:
        raise UsageError(
            f"--embeddings {file}: {error}; {_REMEDY}", "embeddings-invalid"
        ) from error
    if values.ndim != 2 or {names.shape, (names if splits is None else splits).shape} != {
        values.shape[:1]
    }:
        shapes = f"ids {names.shape} and embeddings {values.shape}"
        raise UsageError(f"--embeddings {file}: {shapes} do not fit; {_REMEDY}", "embeddings-shape")
    if not np.isfinite(values).all():
        odd = names[np.flatnonzero(~np.isfinite(values).all(axis=1))[0]]
        raise UsageError(
            f"--embeddings {file}: those of {odd} are NaN or infinite; {_REMEDY}",
            "embeddings-not-finite",
        )
    of_split = np.full(len(names), True) if splits is None else splits == split
    row_of = {str(names[row]): row for row in np.flatnonzero(of_split).tolist()}
    if len(row_of) < int(of_split.sum()):
        raise UsageError(
            f"--embeddings {file}: names are there twice in {split}; {_REMEDY}",
            "embeddings-id-twice",
        )
    rows = [row_of.get(name, -1) for name in ids]
    if max(rows, default=-1) < 0:
        raise UsageError(
            f"--embeddings {file}: it names none of the scored ids, such as {ids[0]}; write it "
            "from the same split",
            "embeddings-other-ids",
        )
    padded = np.vstack([values, np.full((1, values.shape[1]), np.nan)])  # -1 is the last
    return padded[rows]


def _read_embeddings(content: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    values = np.asarray(content["embeddings"], dtype=np.float64)
    return content["ids"], values, content.get("splits")
