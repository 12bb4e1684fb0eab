"""Predicted VAD: rows of a predictions file as arrays, axes by name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.schema import AXES, Utterance, unscale_vad
from emo_fairseq.data.naming import first_few
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation import predictions
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    TRUTH_OF,
)

_CONSTANT = 1e-6  # below this, values of [0, 1] that differ by rounding alone
_WRITTEN = 1e-6  # by which a truth may differ from the manifest's: predictions have nine digits


@dataclass(frozen=True, eq=False)
class VadRows:
    """What was said of the VAD of N utterances.

    Attributes:
        file: where it was read from.
        split: the column of that name.
        ids: of the utterances, each once.
        truth: (N, 3) float64, axes in the order of `AXES`, NaN = missing.
        prediction: (N, 3) float64.
    """

    file: Path
    split: str
    ids: tuple[str, ...]
    truth: np.ndarray
    prediction: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def of(self, ids: Sequence[str]) -> "VadRows":
        """Some of the rows, in the order of `ids`."""
        place = {name: number for number, name in enumerate(self.ids)}
        rows = [place[name] for name in ids]
        return replace(
            self, ids=tuple(ids), truth=self.truth[rows], prediction=self.prediction[rows]
        )

    def on_scale(self, low: float, high: float) -> "VadRows":
        """From [0, 1] to a corpus's own scale."""
        values = (unscale_vad(x, low, high) for x in (self.truth, self.prediction))  # type: ignore[arg-type]
        truth, prediction = map(np.asarray, values)
        return replace(self, truth=truth, prediction=prediction)


def read_vad(file: Path) -> VadRows:
    """Read a predictions file of ``--target vad``, of one split.

    Raises:
        UsageError: no such file, no VAD in it, several splits, a damaged file, or an axis
            that is the same for every row.
    """
    rows = predictions.read(file)
    columns = [kind + axis for kind in (TRUTH_OF, PREDICTION_OF) for axis in AXES]
    if not rows or (lacking := [name for name in columns if name not in rows[0]]):
        what = f"lacks the columns {', '.join(lacking)}" if rows else "has no rows"
        raise UsageError(f"{file}: {what}; score a model of --target vad")
    splits = sorted({row["split"] for row in rows})
    if len(splits) > 1:
        raise UsageError(f"{file}: holds the splits {', '.join(splits)}; score one at a time")
    values = np.array([[float(row[name] or "nan") for name in columns] for row in rows])
    ids = tuple(row["id"] for row in rows)
    found = VadRows(file, splits[0], ids, values[:, : len(AXES)], values[:, len(AXES) :])
    refuse_constant(file, found.prediction)
    return found


def refuse_constant(source: object, prediction: np.ndarray) -> None:
    """Raise a `UsageError` if an axis of (N, 3) predictions is the same for all of several rows."""
    spread = np.ptp(prediction, axis=0) if len(prediction) > 1 else np.ones(len(AXES))
    if flat := [axis for axis, width in zip(AXES, spread, strict=True) if width < _CONSTANT]:
        value = prediction[0, AXES.index(flat[0])]
        raise UsageError(
            f"{source}: {' and '.join(flat)} is the same for all {len(prediction)} rows "
            f"({flat[0]} {value:.4g}): this model tells nothing apart; train it, or take another"
        )


def check_truth(rows: VadRows, utterances: Mapping[str, Utterance], data: Path) -> None:
    """Raise a `UsageError` if the file is of rows that a manifest lacks, or has otherwise."""
    if unknown := [name for name in rows.ids if name not in utterances]:
        raise UsageError(
            f"{rows.file}: {len(unknown)} of {len(rows)} rows are not in {rows.split} of {data}: "
            f"{first_few(unknown)}; name the data dir that was scored"
        )
    own = np.array([gold_vad(utterances[name]) for name in rows.ids])  # (N, 3)
    same = np.isclose(rows.truth, own, rtol=0, atol=_WRITTEN, equal_nan=True).all(axis=1)
    if len(other := [rows.ids[row] for row in np.flatnonzero(~same)]):
        raise UsageError(
            f"{rows.file}: the truth of {len(other)} rows is not that of {data}: "
            f"{first_few(other)}; score the model again on this data dir"
        )


def gold_vad(row: Utterance) -> list[float]:
    """(3,) the corpus's own VAD; NaN where it is missing."""
    values = [getattr(row, axis) for axis in AXES]
    return [math.nan if value is None else value for value in values]
