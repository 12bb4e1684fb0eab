"""From predictions files to printed tables and metrics.json, or to the folder of a report."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.manifest.provenance import allowed_leaks, transductive_notes
from data_prep.schema import write_atomically
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import display_name
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    metrics_and_baseline,
    read_predictions,
)
from emo_fairseq.evaluation.tables import Table, format_number, print_table, without_nan

BySplit = Mapping[str, Predictions]  # by split


def write_report(args: argparse.Namespace) -> None:
    """Write the report of a command line."""
    runs = [read_predictions(file) for file in args.predictions]
    for file, by_split in zip(args.predictions, runs, strict=True):
        measured = _print_tables(file, by_split, args.title)
        marks = {"leak_allowed": allowed_leaks(file), "transductive": transductive_notes(file)}
        for mark, sentences in marks.items():
            name = mark.replace("_", " ")
            sys.stdout.write("".join(f"{name}: {sentence}\n" for sentence in sentences))
        if args.output is None:
            _write_metrics(metrics_file(file), measured, marks)
    if args.output is not None:
        _write_folder(args, runs)


def _print_tables(file: Path, by_split: BySplit, title: str | None) -> dict[str, Metrics]:
    measured = {split: metrics_and_baseline(predictions) for split, predictions in by_split.items()}
    for split, values in measured.items():
        heading = f"{title or file.stem}: {split}, {len(by_split[split].ids)} utterances"
        print_table(metric_table(by_split[split], values, heading), left=["metric"])
    return measured


def metric_table(predictions: Predictions, values: Metrics, title: str) -> Table:
    """Return the metrics of one split beside those of a constant prediction.

    Args:
        predictions: what was predicted.
        values: of :func:`emo_fairseq.evaluation.statistics.metrics_and_baseline`.
        title: names corpus, split and predictions.
    """
    suffix = predictions.baseline_suffix
    if isinstance(predictions, LabelPredictions):
        keys = [*predictions.headline, *(f"recall_{label}" for label in predictions.names)]
    else:
        keys = [key for key in values if not key.endswith(suffix)]
    axes = () if isinstance(predictions, LabelPredictions) else predictions.names
    rows = [[display_name(key, axes), *_cells(values, key, suffix)] for key in keys]
    return Table(["metric", "model", suffix.removeprefix("_")], rows, title)


def _cells(values: Metrics, key: str, suffix: str) -> tuple[str, str]:
    beside = values.get(key + suffix)
    return format_number(values[key], 4), "" if beside is None else format_number(beside, 4)


def metrics_file(predictions: Path) -> Path:
    """Return the path of the metrics of a predictions file, which may have others beside it.

    >>> metrics_file(Path("run/predictions.tsv")).name
    'metrics.json'
    >>> metrics_file(Path("run/predictions.meld.tsv")).name
    'predictions.meld.metrics.json'
    """
    beside = "" if predictions.name == "predictions.tsv" else f"{predictions.stem}."
    return predictions.with_name(f"{beside}metrics.json")


def _write_metrics(
    file: Path, measured: Mapping[str, Metrics], marks: Mapping[str, Sequence[str]]
) -> None:
    known = {mark: list(sentences) for mark, sentences in marks.items() if sentences}
    content = {split: {**known, **without_nan(values)} for split, values in measured.items()}
    write_atomically(file, json.dumps(content, indent=2, allow_nan=False) + "\n")
    sys.stdout.write(f"metrics: {file}\n")


def _write_folder(args: argparse.Namespace, runs: Sequence[BySplit]) -> None:
    from emo_fairseq.evaluation.training_log import read_log
    from emo_fairseq.report.folder import PAGE, write_folder
    from emo_fairseq.report.scored_split import read_scored_split

    epochs = [] if args.log is None else read_log(args.log)
    given = (args.data, args.embeddings, args.attention, args.resamples)
    splits = [
        replace(
            read_scored_split(run, split, predictions, *given),
            leaks=allowed_leaks(file),
            transductive=transductive_notes(file),
        )
        for file, run, by_split in zip(
            args.predictions, run_names(args.predictions), runs, strict=True
        )
        for split, predictions in by_split.items()
    ]
    write_folder(args.output, splits, epochs, args.title or _title(args.predictions), args.date)
    sys.stdout.write(f"report: {args.output / PAGE}\n")


def _title(files: Sequence[Path]) -> str:
    return files[0].stem if len(files) == 1 else f"{len(files)} runs"


def run_names(files: Sequence[Path]) -> list[str]:
    """Return what tells the files apart: their paths without what all begin and end with.

    Of a single file an empty string.

    Raises:
        UsageError: a file is named twice.

    >>> run_names([Path("toy/seed1/predictions.tsv"), Path("toy/seed2/predictions.tsv")])
    ['seed1', 'seed2']
    """
    if len(files) == 1:
        return [""]
    if len({file.resolve() for file in files}) < len(files):
        raise UsageError(
            "a predictions file is named twice; each is a run of its own", "predictions-twice"
        )
    paths = [list(file.resolve().with_suffix("").parts) for file in files]
    for end in (0, -1):
        while all(paths) and len({path[end] for path in paths}) == 1:
            for path in paths:
                path.pop(end)
    return ["/".join(path) or "." for path in paths]
