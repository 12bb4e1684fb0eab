"""Metrics of scored splits with their intervals, beside those of a constant prediction."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from data_prep.schema import CORPUS_FILE, Utterance, read_corpus, read_manifest
from emo_fairseq.evaluation.bootstrap import LEVEL, Estimate, Speakers, estimates
from emo_fairseq.evaluation.names import OF_PRECISION, display_name
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    NumberPredictions,
    Predictions,
    metrics_and_baseline,
)
from emo_fairseq.evaluation.tables import (
    NONE,
    format_count,
    format_interval,
    format_number,
    without_nan,
)

Rows = Mapping[str, Utterance]  # by id


def rows_by_id(data: Path, first: str = "") -> dict[str, Utterance]:
    """Return the rows of all splits; none of a folder without a corpus.yaml.

    Args:
        data: the data dir.
        first: the split whose rows come first, and are those of ids that other splits have, too.
    """
    if not (data / CORPUS_FILE).is_file():
        return {}
    names = dict.fromkeys([first, *read_corpus(data).splits])
    files = [data / f"{split}.tsv" for split in names]
    rows: dict[str, Utterance] = {}
    for row in (row for file in files if file.is_file() for row in read_manifest(file)):
        rows.setdefault(row.id, row)
    return rows


class Measured(NamedTuple):
    """The metrics of one model on one split.

    Attributes:
        estimates: metrics with intervals, by key.
        unit: what the intervals are over; where that is not speakers, with the reason.
    """

    estimates: Mapping[str, Estimate]
    unit: str


def measure(of: Predictions, rows: Rows) -> Measured:
    """Return metrics with intervals over speakers, or over utterances where these are too few."""
    known = [rows.get(id_) for id_ in of.ids]
    speakers = Speakers.from_names([None if row is None else row.speaker for row in known])
    if speakers.refusal:
        return Measured(estimates(*of.statistics()), f"utterances ({speakers.refusal})")
    names = format_count(len(speakers.counts), "speaker")
    return Measured(estimates(*of.statistics(), speakers), names)


def table_lines(
    split: str, models: Mapping[str, Predictions], rows: Rows, in_detail: bool = False
) -> Iterator[str]:
    """Yield a table of metrics: a column for each model, with intervals, and for the baseline.

    A model of another target or other labels than the first has cells of a dash. What intervals are
    over is in the heading, or where models differ in it, as they may in their rows, in a line.

    Args:
        split: that was scored.
        models: predictions by the heading of their column.
        rows: of the data dir, which name the speakers.
        in_detail: add recall and precision of each label and the mean precisions, or all metrics
            of each axis; without it, of several axes the first metric alone.
    """
    first = next(iter(models.values()))
    suffix, n_rows = first.baseline_suffix, len(first.ids)
    columns = [measure(of, rows) for of in models.values()]
    baseline = metrics_and_baseline(first)
    cells = [["", *models, suffix.removeprefix("_")]]
    names: dict[str, str] = {}  # by key: the headlines of all models, then their details
    for is_detail in (False, True) if in_detail else (False,):
        for of in models.values():
            axes = of.names if isinstance(of, NumberPredictions) else ()
            for key in _details(of) if is_detail else [*of.headline, *_of_axes(of, 1)]:
                names.setdefault(key, display_name(key, axes))
    for key, name in names.items():
        of_models = [column.estimates.get(key) for column in columns]
        values = [NONE if of is None else estimate_cell(of) for of in of_models]
        beside = baseline.get(key + suffix)
        constant = "" if beside is None else format_number(beside)
        cells.append([name, *values, constant])
    if any(len(of.ids) != n_rows for of in models.values()):
        counts = [format_count(len(of.ids), "utterance") for of in models.values()]
        cells.append(["", *counts, counts[0]])
    over = f" over {columns[0].unit}"
    if any(column.unit != columns[0].unit for column in columns):
        cells.append(["intervals over", *(column.unit for column in columns), ""])
        over = ""
    about = first.about_truth if isinstance(first, LabelPredictions) else ""
    utterances = f"{format_count(n_rows, 'utterance')}{about}"
    yield f"{split}, {utterances}; in parentheses {LEVEL:.0%} intervals{over}"
    yield from aligned(cells)


def _details(of: Predictions) -> list[str]:
    """Return the keys of the metrics of each label, or of each of several axes."""
    if isinstance(of, LabelPredictions):
        of_each = [f"{key}_{label}" for key in ("recall", "precision") for label in of.names]
        return [*OF_PRECISION, *of_each]
    return _of_axes(of, len(of.headline))


def _of_axes(of: Predictions, n_metrics: int) -> list[str]:
    """Return the keys of the first metrics of each of several axes."""
    if isinstance(of, LabelPredictions) or len(of.names) == 1:
        return []
    return [f"{key}_{axis}" for axis in of.names for key in of.headline[:n_metrics]]


def estimate_cell(estimate: Estimate) -> str:
    """Return a value with its interval in parentheses."""
    value = format_number(estimate.value)
    if not math.isfinite(estimate.value):
        return value
    return f"{value} ({format_interval((estimate.low, estimate.high))})"


def aligned(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield lines whose columns are aligned on the left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        pairs = zip(row, widths, strict=True)
        yield "  ".join(f"{cell:<{width}}" for cell, width in pairs).rstrip()


def as_record(of: Predictions, rows: Rows) -> dict[str, Any]:
    """Return all metrics of a split for JSON, which has null for what is undefined."""
    measured, suffix = measure(of, rows), of.baseline_suffix
    constant = {
        key.removesuffix(suffix): value
        for key, value in metrics_and_baseline(of).items()
        if key.endswith(suffix)
    }
    metrics = {}
    for key, estimate in measured.estimates.items():
        beside = {"baseline": constant[key]} if key in constant else {}
        metrics[key] = without_nan({**estimate._asdict(), **beside})
    return {"utterances": len(of.ids), "intervals_over": measured.unit, "metrics": metrics}
