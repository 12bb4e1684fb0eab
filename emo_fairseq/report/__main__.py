"""``python -m emo_fairseq.report PREDICTIONS...``: metrics of what ``--save-predictions`` wrote.

A table of each split, and its metrics as JSON beside each file: metrics.json for predictions.tsv,
NAME.metrics.json for NAME.tsv. With ``--output FOLDER`` that goes into a folder: ``report.html``,
every figure as PNG and SVG, metrics.json with intervals, training_log.csv, and a list of
what could not be drawn. It draws more the more it is given:

    --data DATA_DIR     texts, speakers, corpora, VAD and prototypes of the same utterances
    --log FILE          of fairseq-train --log-format json --log-file FILE: curves by epoch
    --log FOLDER        of fairseq-train --tensorboard-logdir FOLDER: the same
    --embeddings FILE   of fairseq-validate --save-embeddings FILE: their maps
    --attention FILE    of fairseq-validate --save-attention FILE: attention maps

With fairseq-hydra-train these are common.log_format=json common.log_file=FILE and
common.tensorboard_logdir=FOLDER. Several predictions files are several runs: of those on the same
utterances the mean and the standard deviation come first.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.command_line import positive_int
from data_prep.manifest.provenance import allowed_leaks
from data_prep.schema import write_atomically
from emo_fairseq.compat import excepthook
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.bootstrap import N_RESAMPLES
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
_OF_FOLDER = ("data", "log", "embeddings", "attention")


def main() -> None:
    """Command line."""
    excepthook.apply()
    args = _parser().parse_args()
    given = [f"--{name}" for name in _OF_FOLDER if getattr(args, name) is not None]
    if args.output is None and given:
        raise UsageError(
            f"{', '.join(given)}: only a folder shows it; add --output", "output-missing"
        )
    runs = [read_predictions(file) for file in args.predictions]
    for file, by_split in zip(args.predictions, runs, strict=True):
        measured = _print_tables(file, by_split, args.title)
        leaks = allowed_leaks(file)
        sys.stdout.write("".join(f"leak allowed: {leak}\n" for leak in leaks))
        if args.output is None:
            _write_metrics(metrics_file(file), measured, leaks)
    if args.output is not None:
        _write_folder(args, runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m emo_fairseq.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    written = "of fairseq-validate --save-predictions"
    add("predictions", type=Path, nargs="+", metavar="PREDICTIONS", help=written)
    add("--output", type=Path, metavar="FOLDER", help="write a folder; without it, print a table")
    add("--data", type=Path, metavar="DATA_DIR", help="the data dir that was scored")
    add("--log", type=Path, metavar="FILE", help="of fairseq-train; or a TensorBoard folder")
    add("--embeddings", type=Path, metavar="FILE", help="an .npz of ids and embeddings")
    add("--attention", type=Path, metavar="FILE", help="an .npz of attention weights")
    add("--title", default=None, help="heading (default: the file's name)")
    add("--date", default="", metavar="TEXT", help="written on the page; nothing else is dated")
    resamples = f"of the bootstrap (default: {N_RESAMPLES})"
    add("--resamples", type=positive_int, default=N_RESAMPLES, metavar="N", help=resamples)
    return parser


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


def _write_metrics(file: Path, measured: Mapping[str, Metrics], leaks: Sequence[str]) -> None:
    known = {"leak_allowed": list(leaks)} if leaks else {}
    content = {split: {**known, **without_nan(values)} for split, values in measured.items()}
    write_atomically(file, json.dumps(content, indent=2, allow_nan=False) + "\n")
    sys.stdout.write(f"metrics: {file}\n")


def _write_folder(args: argparse.Namespace, runs: Sequence[BySplit]) -> None:
    from emo_fairseq.report.folder import PAGE, write_folder
    from emo_fairseq.report.scored_split import read_scored_split
    from emo_fairseq.report.training_log import read_log

    epochs = [] if args.log is None else read_log(args.log)
    given = (args.data, args.embeddings, args.attention, args.resamples)
    splits = [
        replace(read_scored_split(run, split, predictions, *given), leaks=allowed_leaks(file))
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


if __name__ == "__main__":
    main()
