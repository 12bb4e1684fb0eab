"""The table of systems: metrics of VAD and of emotions, each with its 95 % interval."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data_prep.files.replacing import write_atomically
from data_prep.schema import AXES
from emo_fairseq import metrics
from emo_fairseq.evaluation import tables
from emo_fairseq.evaluation.bootstrap import (
    NOT_SEEDS,
    OVER_SPEAKERS,
    OVER_UTTERANCES,
    Estimate,
    Speakers,
    estimates,
)
from emo_fairseq.evaluation.names import METRICS
from emo_fairseq.evaluation.statistics import LabelPredictions, NumberPredictions
from emo_fairseq.vad_to_emotion.rows import EmotionRows, VadRows

PREDICTED = "VAD predicted by the trained regressor"
ZERO_SHOT = "zero-shot NLI"
UPPER_BOUND = "upper bound (gold VAD)"
THEN_FOREST = " → forest"
METHODS = {"utterance": OVER_UTTERANCES, "speaker": OVER_SPEAKERS}  # of intervals, by their unit
VAD_METRICS = {
    "mse": metrics.mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "pearson": metrics.pearson_cc,
    "ccc": metrics.concordance_cc,
}
EMOTION_METRICS = {"accuracy": "wa", "macro_f1": "macro_f1", "weighted_f1": "weighted_f1"}
Column = tuple[str, str]  # metric, axis; no axis for metrics of emotions
COLUMNS: tuple[Column, ...] = (
    *((metric, axis) for metric in VAD_METRICS for axis in AXES),
    *((metric, "") for metric in EMOTION_METRICS),
)
_UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def vad_estimates(vad: VadRows, speakers: Speakers | None = None) -> dict[Column, Estimate]:
    """Return MSE, RMSE, MAE, Pearson's r and CCC of each axis, of the rows with a truth.

    Intervals are over speakers, or over rows where these are None.
    """
    numbers = NumberPredictions(vad.ids, AXES, vad.truth, vad.prediction)
    by_key = estimates(*numbers.statistics(VAD_METRICS), speakers)
    return {(metric, axis): by_key[f"{metric}_{axis}"] for axis in AXES for metric in VAD_METRICS}


def emotion_estimates(
    emotions: EmotionRows, prediction: np.ndarray, speakers: Speakers | None = None
) -> dict[Column, Estimate]:
    """Return accuracy, macro F1 and weighted F1 of label ids (N,); see `vad_estimates`."""
    labels = LabelPredictions(emotions.ids, emotions.labels, emotions.truth, prediction)
    by_key = estimates(*labels.statistics(), speakers)
    return {(metric, ""): by_key[key] for metric, key in EMOTION_METRICS.items()}


@dataclass(frozen=True)
class SystemRow:
    """The metrics of one system.

    Attributes:
        name: as in the table.
        n: the number of rows that they are of.
        estimates: by metric and axis.
    """

    name: str
    n: int
    estimates: Mapping[Column, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class SystemTable:
    """Systems on the same rows.

    Attributes:
        title: corpus, split and number of rows.
        systems: one row each.
        notes: that belong below the table.
        by: the unit of the intervals, a key of :data:`METHODS`.
    """

    title: str
    systems: Sequence[SystemRow]
    notes: Sequence[str] = field(default=())
    by: str = "utterance"

    @property
    def all_notes(self) -> list[str]:
        """The notes, and that intervals do not contain the variance over seeds."""
        return [*self.notes, NOT_SEEDS]

    @property
    def columns(self) -> list[Column]:
        """Metric and axis of each column that a system has."""
        return [column for column in COLUMNS if any(column in x.estimates for x in self.systems)]


def heading(metric: str, axis: str) -> str:
    """Return the name of a column.

    >>> heading("ccc", "valence"), heading("macro_f1", ""), heading("accuracy", "")
    ('CCC V', 'macro F1', 'accuracy')
    """
    name = METRICS[metric].name if metric in METRICS else metric
    return f"{name} {axis[:1].upper()}".strip()


def _cell(system: SystemRow, column: Column) -> str:
    estimate = system.estimates.get(column, _UNDEFINED)
    if math.isnan(estimate.value):
        return tables.NONE
    ends = tables.format_interval((estimate.low, estimate.high))
    return f"{tables.format_number(estimate.value)} ({ends})"


def print_table(table: SystemTable) -> None:
    """Print one line a metric, one column a system."""
    header = ["figure"] + [system.name for system in table.systems]
    rows = [
        [heading(*column)] + [_cell(system, column) for system in table.systems]
        for column in table.columns
    ]
    tables.print_table(tables.Table(header, rows, table.title, table.all_notes), left=("figure",))


def to_markdown(table: SystemTable) -> str:
    """Return a pipe table, one row a system, under its title; the notes as a list."""
    header = ["system"] + [heading(*column) for column in table.columns]
    rows = [
        [system.name] + [_cell(system, column) for column in table.columns]
        for system in table.systems
    ]
    return tables.to_markdown(tables.Table(header, rows, table.title, table.all_notes))


def to_csv(table: SystemTable) -> str:
    """Return one line a metric of a system, unrounded; undefined values are empty."""
    interval = f"95 %, {METHODS[table.by]}; {NOT_SEEDS}"
    records = [
        {"system": system.name, "rows": system.n, **record, "interval": interval}
        for system in table.systems
        for record in _records(system)
    ]
    return tables.to_csv(records)


def to_json(table: SystemTable) -> str:
    """Return the same as an object; undefined values are null."""
    systems = [
        {
            "system": system.name,
            "rows": system.n,
            "figures": [
                {**record, **tables.without_nan(estimate._asdict())}
                for record, estimate in zip(
                    _records(system), system.estimates.values(), strict=True
                )
            ],
        }
        for system in table.systems
    ]
    content = {"title": table.title, "systems": systems, "notes": table.all_notes}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _records(system: SystemRow) -> list[dict[str, str | float]]:
    return [
        {"figure": metric, "axis": axis, **estimate._asdict()}
        for (metric, axis), estimate in system.estimates.items()
    ]


def write_table(table: SystemTable, files: Mapping[str, Path | None]) -> None:
    """Write the table as ``markdown``, ``csv`` and ``json``, to the files that are given."""
    formats = {"markdown": to_markdown, "csv": to_csv, "json": to_json}
    for name, file in files.items():
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, formats[name](table))
