"""One table of systems: for the terminal, as Markdown, CSV and JSON."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from data_prep.schema import AXES, write_atomically
from emo_fairseq import metrics
from emo_fairseq.evaluation.bootstrap import (
    NOT_SEEDS,
    OVER_SPEAKERS,
    OVER_UTTERANCES,
    Speakers,
    intervals,
    mean_over_runs,
)

# --- Figures of VAD and of emotions, each with its 95 % interval over utterances or speakers ------

Metric = Callable[[Tensor], float]  # from summed statistics


class Estimate(NamedTuple):
    """A figure of a system; `axis` is empty where it is of the emotions."""

    figure: str
    axis: str
    value: float
    low: float
    high: float


def mean_squared_error(sums: Tensor) -> float:
    """MSE from (8,) moments, in the values' unit squared; NaN without rows."""
    return metrics.root_mean_squared_error(sums) ** 2


VAD_FIGURES: dict[str, Metric] = {
    "mse": mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "pearson": metrics.pearson_cc,
    "ccc": metrics.concordance_cc,
}
EMOTION_FIGURES: dict[str, Metric] = {
    "accuracy": metrics.accuracy,
    "macro_f1": metrics.macro_f1,
    "weighted_f1": metrics.weighted_f1,
}
# Every column of a table: (figure, axis).
COLUMNS = (
    *((figure, axis) for figure in VAD_FIGURES for axis in AXES),
    *((figure, "") for figure in EMOTION_FIGURES),
)


def vad_estimates(
    truth: np.ndarray, prediction: np.ndarray, speakers: Speakers | None = None
) -> list[Estimate]:
    """MSE, RMSE, MAE, Pearson's r and CCC of each axis.

    Args:
        truth: (N, 3), axes in the order of `AXES`, NaN = missing, and then not counted.
        prediction: (N, 3).
        speakers: that the intervals are over; None = over rows.
    """
    found = []
    for column, axis in enumerate(AXES):
        pair = (torch.from_numpy(values[:, column][None].copy()) for values in (truth, prediction))
        rows = metrics.moments(*pair)  # (N, 8): of (1, N) values, each row by itself
        found += _estimates(VAD_FIGURES, axis, rows, speakers)
    return found


def emotion_estimates(
    truth: np.ndarray, prediction: np.ndarray, n_labels: int, speakers: Speakers | None = None
) -> list[Estimate]:
    """Accuracy, macro F1 and weighted F1 of (N,) label numbers."""
    true, said = torch.from_numpy(truth), torch.from_numpy(prediction)
    rows = metrics.confusion_rows(true, said, n_labels)  # (N, K, K)
    return _estimates(EMOTION_FIGURES, "", rows, speakers)


def _estimates(
    figures: Mapping[str, Metric], axis: str, rows: Tensor, speakers: Speakers | None
) -> list[Estimate]:
    """Figures of (N, ...) statistics, with their intervals, all from the same resamples."""
    shape = rows.shape[1:]
    runs = [rows.double().flatten(1)]

    def derive(sums: Tensor) -> dict[str, float]:
        return {name: figure(sums.view(shape)) for name, figure in figures.items()}

    values, ends = mean_over_runs(runs, derive), intervals(runs, derive, speakers)
    return [Estimate(name, axis, values[name], *ends[name]) for name in figures]


def undefined(figure: str, axis: str) -> Estimate:
    """What a system has no figure for."""
    return Estimate(figure, axis, math.nan, math.nan, math.nan)


# --- Tables ---------------------------------------------------------------------------------------

PREDICTED = "VAD predicted by the trained regressor"
ZERO_SHOT = "zero-shot NLI"
UPPER_BOUND = "upper bound (gold VAD)"
THEN_FOREST = " → forest"
METHODS = {"utterance": OVER_UTTERANCES, "speaker": OVER_SPEAKERS}  # of intervals, by their unit
_UNKNOWN = "–"
_SHORT = {"valence": "V", "arousal": "A", "dominance": "D", "": ""}
_NAMES = {
    **{name: name.upper() for name in ("mse", "rmse", "mae", "ccc")},
    "pearson": "Pearson",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}
_WIDE = 140  # columns, where there is no terminal to fit into


@dataclass(frozen=True)
class SystemRow:
    """A system's figures.

    Attributes:
        name: as in the table.
        n: of the rows that they are of.
        estimates: those that there are.
    """

    name: str
    n: int
    estimates: Sequence[Estimate] = field(default=())

    def of(self, figure: str, axis: str) -> Estimate:
        """One of the figures."""
        known = {(one.figure, one.axis): one for one in self.estimates}
        return known.get((figure, axis), undefined(figure, axis))


@dataclass(frozen=True)
class SystemTable:
    """Systems on the same rows.

    Attributes:
        title: corpus, split and number of rows.
        systems: one row each.
        notes: that belong below it.
        by: what the intervals are over, a key of :data:`METHODS`.
    """

    title: str
    systems: Sequence[SystemRow]
    notes: Sequence[str] = field(default=())
    by: str = "utterance"

    @property
    def all_notes(self) -> list[str]:
        """And what its intervals do not contain."""
        return [*self.notes, NOT_SEEDS]

    @property
    def columns(self) -> list[tuple[str, str]]:
        """Figure and axis of each column that a system knows."""
        known = {(one.figure, one.axis) for system in self.systems for one in system.estimates}
        return [pair for pair in COLUMNS if pair in known]


def heading(figure: str, axis: str) -> str:
    """The name of a column.

    >>> heading("ccc", "valence")
    'CCC V'
    """
    return f"{_NAMES[figure]} {_SHORT[axis]}".strip()


def _cell(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return _UNKNOWN
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def print_table(table: SystemTable) -> None:
    """A line a figure, a column a system."""
    grid = Table()
    grid.add_column("figure")
    for system in table.systems:
        grid.add_column(system.name, justify="right")
    for pair in table.columns:
        grid.add_row(heading(*pair), *(_cell(system.of(*pair)) for system in table.systems))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table.title, markup=False, highlight=False, soft_wrap=True)
    console.print(grid, markup=False)
    for note in table.all_notes:
        console.print(f"  {note}", markup=False, highlight=False, soft_wrap=True)


def as_markdown(table: SystemTable) -> str:
    """A pipe table, one row a system, under its title; the notes as a list."""
    header = ["system", *(heading(*pair) for pair in table.columns)]
    rows = [
        [system.name, *(_cell(system.of(*pair)) for pair in table.columns)]
        for system in table.systems
    ]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]
    notes = [f"- {note}" for note in table.all_notes]
    return "\n".join([f"**{table.title}**", "", *lines, "", *notes, ""])


def as_csv(table: SystemTable) -> str:
    """A line a figure of a system, unrounded; what is undefined is empty."""
    text = io.StringIO()
    about = f"95 %, {METHODS[table.by]}; {NOT_SEEDS}"
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "rows", *Estimate._fields, "interval"])
    for system in table.systems:
        for one in system.estimates:
            values = ["" if math.isnan(x) else repr(x) for x in one[2:]]
            writer.writerow([system.name, system.n, one.figure, one.axis, *values, about])
    return text.getvalue()


def as_json(table: SystemTable) -> str:
    """The same as an object; what is undefined is null."""
    systems = [
        {
            "system": system.name,
            "rows": system.n,
            "figures": [
                {k: None if x != x else x for k, x in one._asdict().items()}
                for one in system.estimates
            ],
        }
        for system in table.systems
    ]
    content = {"title": table.title, "systems": systems, "notes": table.all_notes}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_table(table: SystemTable, files: dict[str, Path | None]) -> None:
    """Write it as ``markdown``, ``csv`` and ``json``, to the files that are given."""
    forms = {"markdown": as_markdown, "csv": as_csv, "json": as_json}
    for form, file in files.items():
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, forms[form](table))
