"""The end of a training: its score on the test split beside baselines, and what to do next."""

import argparse
import importlib.util
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from data_prep.manifest.audio_root import audio_root
from data_prep.schema import Utterance, read_corpus, read_manifest
from emo_fairseq.cli import evaluate, processes
from emo_fairseq.cli.train_data import DataFolder
from emo_fairseq.cli.train_inputs import Inputs
from emo_fairseq.types import SPEECH, TEXT

if TYPE_CHECKING:
    from emo_fairseq.evaluation.bootstrap import Estimate
    from emo_fairseq.evaluation.statistics import Predictions

PREDICTIONS, REPORT = "predictions.tsv", "report"
_PROGRAM = "emotion-recognize"


@dataclass(frozen=True)
class Scored:
    """A model whose predictions are saved.

    Attributes:
        name: heads its column of the summary.
        checkpoint: that was scored.
        predictions: of the test split.
    """

    name: str
    checkpoint: Path
    predictions: Path


def score_words(
    options: argparse.Namespace, data: DataFolder, split: str, checkpoint: Path, predictions: Path
) -> list[str]:
    """Return the fairseq-validate command that scores a checkpoint and saves its predictions."""
    training = evaluate.Training(options.fold, data.folder, None)
    asked = argparse.Namespace(
        data=data.folder,
        data_raw=None,
        split=split,
        batch_size=32,
        save_predictions=predictions,
        cpu=options.cpu,
        further=[],
    )
    return evaluate.command(asked, checkpoint, training)


def report_words(data: DataFolder, predictions: Path, log: Path | None, name: str) -> list[str]:
    """Return the command that writes the page and the figures of a scored split."""
    words = processes.module("emo_fairseq.report", predictions, "--title", name)
    if importlib.util.find_spec("matplotlib") is None:
        return words  # a table and metrics.json; the summary names the extra
    words += ["--output", str(predictions.with_name(REPORT))]
    if not data.is_legacy:
        words += ["--data", str(data.folder)]
    return words if log is None else [*words, "--log", str(log)]


# -- the summary -----------------------------------------------------------------------------------


def print_summary(
    data: DataFolder, inputs: Inputs, models: Sequence[Scored], has_report: bool
) -> None:
    """Print metrics with intervals beside the baselines, the files, and the next commands.

    Args:
        data: that was scored.
        inputs: of the training.
        models: the first is the one that was trained; its baselines follow.
        has_report: whether its report is written.
    """
    rows = {} if data.is_legacy else _rows_by_id(data.folder, inputs.test)
    processes.write("")
    for line in _metric_lines(inputs.test, models, rows):
        processes.write(line)
    trained = models[0]
    files = {"checkpoint": trained.checkpoint, "predictions": trained.predictions}
    if has_report:
        report = trained.predictions.with_name(REPORT)
        if report.is_dir():
            files |= {"metrics": report / "metrics.json", "report": report / "report.html"}
        else:
            files["metrics"] = trained.predictions.with_name("metrics.json")
    processes.write("")
    for name, file in files.items():
        processes.write(f"{name:<12} {file}")
    if has_report and "report" not in files:
        processes.write('report       none: needs matplotlib, pip install -e ".[report]"')
    processes.write("\nnext:")
    for words in _next_commands(data, trained, inputs, rows):
        processes.write(f"  {shlex.join(words)}")


def _rows_by_id(folder: Path, first: str) -> dict[str, Utterance]:
    """Return the rows of all splits, those of `first` at the beginning."""
    names = dict.fromkeys([first, *read_corpus(folder).splits])
    files = [folder / f"{split}.tsv" for split in names]
    return {row.id: row for file in files if file.is_file() for row in read_manifest(file)}


def _metric_lines(
    split: str, models: Sequence[Scored], rows: Mapping[str, Utterance]
) -> Iterator[str]:
    """Yield the table of metrics: a column for each model, with intervals, and for the baseline."""
    from emo_fairseq.evaluation.bootstrap import LEVEL, MIN_SPEAKERS
    from emo_fairseq.evaluation.names import display_name
    from emo_fairseq.evaluation.statistics import metrics_and_baseline, read_predictions
    from emo_fairseq.evaluation.tables import format_count, format_number

    predictions = [read_predictions(model.predictions)[split] for model in models]
    first = predictions[0]
    suffix, n_rows = first.baseline_suffix, len(first.ids)
    columns = [_estimates(of, rows) for of in predictions]
    baseline = metrics_and_baseline(first)
    cells = [["", *(model.name for model in models), suffix.removeprefix("_")]]
    for key in first.headline:
        values = [_estimate_cell(column.estimates[key]) for column in columns]
        cells.append([display_name(key), *values, format_number(baseline[key + suffix])])
    if any(len(of.ids) != n_rows for of in predictions):
        counts = [format_count(len(of.ids), "utterance") for of in predictions]
        cells.append(["", *counts, counts[0]])
    over = columns[0].unit or f"utterances, since fewer than {MIN_SPEAKERS} speakers are known"
    yield (
        f"{split}, {format_count(n_rows, 'utterance')}; in parentheses {LEVEL:.0%} intervals over "
        f"{over}"
    )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        pairs = zip(row, widths, strict=True)
        yield "  ".join(f"{cell:<{width}}" for cell, width in pairs).rstrip()


class _Column(NamedTuple):
    estimates: "Mapping[str, Estimate]"  # by key of the metric
    unit: str  # speakers that the intervals are over; empty for utterances


def _estimates(of: "Predictions", rows: Mapping[str, Utterance]) -> _Column:
    """Return metrics with intervals over speakers, or over utterances where these are too few."""
    from emo_fairseq.evaluation.bootstrap import Speakers, estimates
    from emo_fairseq.evaluation.tables import format_count

    known = [rows.get(id_) for id_ in of.ids]
    speakers = Speakers.from_names([None if row is None else row.speaker for row in known])
    if speakers.refusal:
        return _Column(estimates(*of.statistics()), "")
    unit = format_count(len(speakers.counts), "speaker")
    return _Column(estimates(*of.statistics(), speakers), unit)


def _estimate_cell(estimate: "Estimate") -> str:
    from emo_fairseq.evaluation.tables import format_interval, format_number

    value = format_number(estimate.value)
    if not math.isfinite(estimate.value):
        return value
    return f"{value} ({format_interval((estimate.low, estimate.high))})"


def _next_commands(
    data: DataFolder, model: Scored, inputs: Inputs, rows: Mapping[str, Utterance]
) -> Iterator[list[str]]:
    """Yield the commands that predict from a recording or text of the data, and that serve."""
    folder = str(model.checkpoint.parent)
    example = next(iter(_examples(data, inputs, rows)), None)
    if example is not None:
        yield [_PROGRAM, "predict", folder, *example]
    yield [_PROGRAM, "serve", folder]


def _examples(
    data: DataFolder, inputs: Inputs, rows: Mapping[str, Utterance]
) -> Iterator[list[str]]:
    """Yield the words of inputs that predict takes, as the rows of the data have them."""
    root = audio_root(data.folder, data.data_raw)
    for row in rows.values():
        audio = None if row.audio is None else root / row.audio
        if SPEECH in inputs.modalities and audio is not None and audio.is_file():
            has_text = TEXT in inputs.modalities and row.text
            yield [str(audio), *(("--text", str(row.text)) if has_text else ())]
        elif TEXT in inputs.modalities and SPEECH not in inputs.modalities and row.text:
            yield ["--text", row.text]
