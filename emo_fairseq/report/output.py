"""From predictions files to printed tables and metrics.json, or to the folder of a report."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.files.replacing import write_atomically
from data_prep.manifest.provenance import allowed_leaks, transductive_notes
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import OF_PRECISION, display_name
from emo_fairseq.evaluation.statistics import (
    LabelPredictions,
    Metrics,
    Predictions,
    metrics_and_baseline,
    read_predictions,
)
from emo_fairseq.evaluation.tables import Table, format_number, print_table, without_nan
from emo_fairseq.report import runs
from emo_fairseq.report.runs import Run, marked_name
from emo_fairseq.report.tables import class_table

BySplit = Mapping[str, Predictions]  # by split
_FILES = 6  # columns of files in a printed table


def write_report(args: argparse.Namespace) -> None:
    """Write the report of a command line."""
    names = run_names(args.predictions)
    files = [_File.read(file, name) for file, name in zip(args.predictions, names, strict=True)]
    _print_tables(files, args.title)
    for file in files:
        for mark, sentences in file.marks.items():
            of_file = f"{file.name}: " if file.name else ""
            name = f"{of_file}{mark.replace('_', ' ')}"
            sys.stdout.write("".join(f"{name}: {sentence}\n" for sentence in sentences))
        if args.output is None:
            _write_metrics(metrics_file(file.path), file.measured, file.marks)
    if args.output is not None:
        _write_folder(args, files)


@dataclass(frozen=True, eq=False)
class _File:
    """A predictions file: its splits, their metrics, and notes for its reader.

    Attributes:
        path: of the file.
        name: what it is called among several; empty if it is the only one.
        by_split: its predictions.
        measured: their metrics, by split.
        marks: sentences under ``leak_allowed`` and ``transductive``.
    """

    path: Path
    name: str
    by_split: BySplit
    measured: Mapping[str, Metrics]
    marks: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, path: Path, name: str) -> "_File":
        """Read a predictions file, and measure its splits."""
        by_split = read_predictions(path)
        measured = {split: metrics_and_baseline(of_split) for split, of_split in by_split.items()}
        marks = {"leak_allowed": allowed_leaks(path), "transductive": transductive_notes(path)}
        return cls(path, name, by_split, measured, marks)

    def runs(self) -> Iterator[Run]:
        """Yield each split for a table of several files."""
        name = marked_name(self.name or self.path.stem, *self.marks.values())
        for split, predictions in self.by_split.items():
            yield Run(name, split, predictions, self.measured[split])


def _print_tables(files: Sequence[_File], title: str | None) -> None:
    """Print a table of each split and target, which has a column of each file."""
    by_scored = runs.groups([run for file in files for run in file.runs()])
    for alike in by_scored.values():
        first = alike[0]
        if len(alike) > 1:
            keys = list(runs.metric_keys(first.predictions, first.metrics))
            whole = runs.table(alike, keys)
            titled = replace(whole, title=f"{title}: {whole.title}") if title else whole
            for table in _in_parts(titled, len(alike)):
                print_table(table, left=["metric"])
            continue
        named = first.name if len(files) > 1 else title or first.name
        heading = f"{named}: {first.split}, {_counted(first.predictions)}"
        print_table(metric_table(first.predictions, first.metrics, heading), left=["metric"])
        if isinstance(first.predictions, LabelPredictions):
            print_table(class_table(first.predictions, first.metrics, digits=4), left=["label"])
    if note := runs.apart(by_scored):
        sys.stdout.write(f"{note}\n")


def _counted(predictions: Predictions) -> str:
    about = predictions.about_truth if isinstance(predictions, LabelPredictions) else ""
    return f"{len(predictions.ids)} utterances{about}"


def _in_parts(table: Table, n_files: int) -> Iterator[Table]:
    """Divide a table of many files into tables that a terminal has room for.

    The first has what is of all files, too.
    """
    first = len(table.header) - n_files
    for start in range(first, len(table.header), _FILES):
        end = start + _FILES
        known = slice(0, first if start == first else 1)
        yield Table(
            [*table.header[known], *table.header[start:end]],
            [[*row[known], *row[start:end]] for row in table.rows],
            table.title if start == first else "",
        )


def metric_table(predictions: Predictions, values: Metrics, title: str) -> Table:
    """Return the metrics of one split beside those of a constant prediction."""
    suffix = predictions.baseline_suffix
    if isinstance(predictions, LabelPredictions):
        keys = [*predictions.headline, *OF_PRECISION]
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


def _write_folder(args: argparse.Namespace, files: Sequence[_File]) -> None:
    from emo_fairseq.evaluation.training_log import read_log
    from emo_fairseq.report.folder import PAGE, write_folder
    from emo_fairseq.report.recordings import INLINE, open_recordings
    from emo_fairseq.report.scored_split import read_baseline_model, read_scored_split

    recordings = open_recordings(args.audio or INLINE, args.data, args.data_raw, args.output)
    epochs = [] if args.log is None else read_log(args.log)
    given = (args.data, args.embeddings, args.attention, args.resamples)
    splits = [
        replace(
            read_scored_split(file.name, split, predictions, *given),
            leaks=file.marks["leak_allowed"],
            transductive=file.marks["transductive"],
            baseline=None
            if args.baseline is None
            else read_baseline_model(args.baseline, split, predictions, args.resamples),
        )
        for file in files
        for split, predictions in file.by_split.items()
    ]
    title = args.title or (files[0].path.stem if len(files) == 1 else f"{len(files)} runs")
    write_folder(args.output, splits, epochs, title, args.date, recordings)
    sys.stdout.write(f"report: {args.output / PAGE}\n")


def run_names(files: Sequence[Path]) -> list[str]:
    """Return the distinct part of each path: without what all paths begin and end with.

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
