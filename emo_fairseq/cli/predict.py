"""``emotion-recognize predict``: predict from audio files, folders, tables and lines of text."""

import argparse
import contextlib
import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from data_prep.command_line import (
    positive_int,
    positive_number,
)
from data_prep.tables.reader import TableFormat
from emo_fairseq.cli.checkpoints import (
    check_supported_inputs,
    find_checkpoint,
    is_model_folder,
)
from emo_fairseq.cli.predict_inputs import (
    STDIN,
    Columns,
    Item,
    any_segments,
    read_items,
)
from emo_fairseq.errors import UsageError, check_writable
from emo_fairseq.evaluation.predictions import (
    PREDICTION_OF,
    PROBABILITY,
)
from emo_fairseq.types import SPEECH

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor

_FAILED = 1  # exit code where an item has failed
_BATCHES_AT_ONCE = 4  # so that rows of similar length can be put together

Row = Mapping[str, Any]


def add(subcommands: Any) -> None:
    """Add the parser."""
    about = "predict from audio files, folders, tables, or lines of text"
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "predict",
        help=about,
        description=about,
        epilog="An item that cannot be read gets a row with its error, and does not stop the rest; "
        "the exit status is then 1.",
    )
    parser.set_defaults(run=run, takes_further=False, loads_models=True)
    option = parser.add_argument
    option("model", type=Path, metavar="MODEL", help="model folder, or checkpoint")
    items = (
        "audio files; folders of them; .txt, .csv, .tsv, .jsonl, .parquet; - for lines of standard "
        "input"
    )
    option("items", nargs="*", metavar="ITEM", help=items)
    option("--text", help="what was said: alone, or with one audio file")
    option("--text-column", default="text", metavar="NAME", help="of tables (default: text)")
    option("--audio-column", default="audio", metavar="NAME", help="of tables (default: audio)")
    times = "of tables, seconds in the audio (default: {})"
    option("--start-column", default="start", metavar="NAME", help=times.format("start"))
    option("--end-column", default="end", metavar="NAME", help=times.format("end"))
    quotes = "a quote in a table is a quote, and encloses no cell"
    option("--no-quotes", action="store_true", help=quotes)
    option("--format", choices=("csv", "jsonl"), default="csv", help="default: %(default)s")
    option("--output", type=Path, metavar="FILE", help="default: standard output")
    option("--timeline", action="store_true", help="a row for each window of every recording")
    option(
        "--window",
        type=positive_number,
        default=4.0,
        metavar="S",
        help="length of a window (default: 4 s)",
    )
    option(
        "--hop",
        type=positive_number,
        default=2.0,
        metavar="S",
        help="from one window to the next (default: 2 s)",
    )
    option("--batch-size", type=positive_int, default=32, metavar="N", help="default: %(default)s")
    option("--data", type=Path, metavar="DATA", help="of a checkpoint: data dir with tokenizers")
    option("--device", help="cpu, cuda, cuda:1 (default: the GPU, if there is one)")
    option("--onnx", action="store_true", help="run the model folder's model.onnx")


def run(options: argparse.Namespace) -> int:
    """Predict and write a row for each item; return 1 if an item failed.

    Raises:
        UsageError: no such model, or no items.
    """
    if options.output is not None:
        check_output(options.output, options.items, options.model)
    predictor = _predictor(options)
    check_supported_inputs(options.model, predictor.modalities, predictor.missing)
    if options.timeline:
        check_windows(predictor, options)
    columns = Columns(
        options.text_column,
        options.audio_column,
        options.start_column,
        options.end_column,
        predictor.modalities,
        TableFormat(quotes=not options.no_quotes),
    )
    has_times = options.timeline or any_segments(options.items, columns)
    items = read_items(options.items, options.text, columns, sys.stdin)
    first = next(items, None)  # a mistake in the command line leaves no file behind
    n_failed = 0
    counts: Counter[str] = Counter()
    with open_output(options.output) as out:
        rows = FORMATS[options.format](out, predictor, has_times)
        for row in _predict(predictor, _counted(first, items, counts), options):
            rows.write(row)
            n_failed += "error" in row
    if n_failed:
        sys.stderr.write(f"{n_failed} of {counts['items']} items failed; see the column error\n")
    return _FAILED if n_failed else 0


def _counted(first: Item | None, others: Iterator[Item], counts: Counter[str]) -> Iterator[Item]:
    """Yield and count all items."""
    for item in chain([] if first is None else [first], others):
        counts["items"] += 1
        yield item


def _predictor(options: argparse.Namespace) -> "EmotionPredictor":
    if options.onnx:
        from emo_fairseq.export.onnx import OnnxPredictor

        if options.device not in (None, "cpu"):
            raise UsageError(
                f"--onnx --device {options.device}: the graph is run on the CPU", "onnx-device"
            )
        return OnnxPredictor.from_folder(options.model)
    from emo_fairseq.inference.predictor import load_predictor

    path = options.model if is_model_folder(options.model) else find_checkpoint(options.model)
    return load_predictor(path, options.device, options.data)


def check_windows(predictor: "EmotionPredictor", options: argparse.Namespace) -> None:
    """Check --window and --hop once, instead of for every recording."""
    from emo_fairseq.inference.timeline import windows

    if SPEECH not in predictor.modalities:
        raise UsageError("--timeline: the model reads no speech; leave it out", "modality-not-read")
    windows(1, options.window, options.hop, predictor.max_seconds())


def _predict(
    predictor: "EmotionPredictor", items: Iterable[Item], options: argparse.Namespace
) -> Iterator[Row]:
    """Yield rows in the order of the items."""
    if options.timeline:
        for item in items:
            yield from _predict_timeline(predictor, item, options)
        return
    # Lines of standard input may be typed: each is predicted at once.
    at_once = 1 if STDIN in options.items else _BATCHES_AT_ONCE * options.batch_size
    waiting = iter(items)
    while chunk := tuple(islice(waiting, at_once)):
        yield from _predict_chunk(predictor, chunk, options.batch_size)


def _predict_chunk(
    predictor: "EmotionPredictor", chunk: tuple[Item, ...], batch_size: int
) -> list[Row]:
    """Predict many items at once; if that fails each half alone, down to the item that fails."""
    valid = [item for item in chunk if item.error is None]
    if len(valid) < len(chunk):
        rows = iter(_predict_chunk(predictor, tuple(valid), batch_size) if valid else ())
        return [next(rows) if item.error is None else _failure(item, item.error) for item in chunk]
    try:
        predictions = predictor.predict(
            [item.audio for item in chunk],
            [item.text for item in chunk],
            batch_size=batch_size,
        )
    except (UsageError, OSError) as error:  # of the system: a path that it refuses
        if len(chunk) == 1:
            return [_failure(chunk[0], _reason(chunk[0], error, "item 1"))]
        middle = len(chunk) // 2
        halves = chunk[:middle], chunk[middle:]
        return [row for half in halves for row in _predict_chunk(predictor, half, batch_size)]
    return [
        {"item": item.name, **item.times, **prediction.as_dict()}
        for item, prediction in zip(chunk, predictions, strict=True)
    ]


def _predict_timeline(
    predictor: "EmotionPredictor", item: Item, options: argparse.Namespace
) -> Iterator[Row]:
    if item.error is not None:
        yield _failure(item, item.error)
        return
    try:
        segments = predictor.timeline(
            item.audio,  # type: ignore[arg-type]  # of None it raises an error with a code
            window_seconds=options.window,
            hop_seconds=options.hop,
            text=item.text,
            batch_size=options.batch_size,
        )
    except (UsageError, OSError) as error:
        yield _failure(item, _reason(item, error, "the input"))
        return
    for segment in segments:
        yield {"item": item.name, **segment.as_dict()}


def _reason(item: Item, error: Exception, name: str) -> str:
    """Return the message without the predictor's name of the item: the row has its own."""
    if isinstance(error, OSError):
        return f"{item.audio}: {error.strerror or error}"
    file = "" if item.audio is None else f" ({item.audio.name})"
    return str(error).removeprefix(f"{name}{file}: ").removeprefix(f"{name}: ")


def _failure(item: Item, error: str) -> Row:
    return {"item": item.name, **item.times, "error": error}


# -- output: over no input, and complete or not at all ---------------------------------------------

_PART = ".part"


def check_output(file: Path, items: Sequence[str], model: Path) -> None:
    """Refuse to overwrite an input or the model.

    Args:
        file: of ``--output``.
        items: of the command line.
        model: model folder, checkpoint, or folder of a training.

    Raises:
        UsageError: the file is one of them, or cannot be written.
    """
    check_writable(file, "--output")
    if any(item != STDIN and _is_same(file, Path(item)) for item in items):
        raise UsageError(
            f"--output {file}: is one of the inputs; name another file", "output-is-input"
        )
    is_inside = is_model_folder(model) and model.resolve() in file.resolve().parents
    if is_inside or _is_same(file, model) or (file.suffix == ".pt" and file.exists()):
        raise UsageError(
            f"--output {file}: is part of a model; name a file elsewhere", "output-in-model"
        )


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.resolve() == other.resolve() or file.samefile(other)
    except OSError:  # one is not there, or no path at all
        return False


@contextlib.contextmanager
def open_output(file: Path | None) -> Iterator[TextIO]:
    """Open the file to write rows to, or standard output.

    Rows go to ``FILE.part``, which replaces the file at the end, and stays after an error. A
    pipe or a device is written to directly.
    """
    if file is None:
        yield sys.stdout
        return
    target = file.resolve()
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}{_PART}")
    try:
        with part.open("w", encoding="utf-8", newline="") as rows:
            yield rows
    except BaseException as error:
        _explain_part(part)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(target)) from error  # of a full disk
        raise
    part.replace(target)


def _explain_part(part: Path) -> None:
    """Log where the rows before an error are."""
    if part.exists() and not part.stat().st_size:
        part.unlink()
    elif part.exists():
        sys.stderr.write(f"{part}: holds the rows before the error\n")


# -- rows, as CSV or as JSON lines -----------------------------------------------------------------


class CsvRows:
    """Rows under a header: item, label or values, probabilities, input, warning, error.

    Args:
        out: takes the rows.
        labels, axes, auxiliary: of the predictor.
        has_times: rows may be segments.
    """

    def __init__(self, out: TextIO, predictor: "EmotionPredictor", has_times: bool) -> None:
        times = ["start", "end"] if has_times else []
        labels = ["label", *(f"{PROBABILITY}{label}" for label in predictor.labels)]
        values = [f"{PREDICTION_OF}{axis}" for axis in predictor.axes]
        others = [f"{name}.{axis}" for name, axes in predictor.auxiliary.items() for axis in axes]
        ends = ["modalities", "text", "seconds", "warning", "error"]
        columns = ["item", *times, *(labels if predictor.labels else values), *others, *ends]
        self._writer = csv.DictWriter(out, columns, lineterminator="\n", restval="")
        self._writer.writeheader()
        self._flush = out.flush

    def write(self, row: Row) -> None:
        """Write a row: ``item`` and the fields of a prediction, or ``item`` and ``error``."""
        flat = {name: value for name, value in row.items() if name in self._writer.fieldnames}
        flat |= {f"{PROBABILITY}{k}": f"{x:.6g}" for k, x in row.get("probabilities", {}).items()}
        flat |= {f"{PREDICTION_OF}{k}": f"{x:.6g}" for k, x in row.get("values", {}).items()}
        for name, outputs in row.get("auxiliary", {}).items():
            flat |= {f"{name}.{k}": f"{x:.6g}" for k, x in outputs.items()}
        flat["warning"] = "; ".join(row.get("warnings", ()))
        flat["modalities"] = "+".join(row.get("modalities", ()))
        self._writer.writerow({k: _writable(x) for k, x in flat.items()})
        self._flush()


class JsonRows:
    """A JSON object a line, with all fields of a prediction but its embedding."""

    def __init__(self, out: TextIO, predictor: "EmotionPredictor", has_times: bool) -> None:
        self._out = out

    def write(self, row: Row) -> None:
        """Write a row; see :meth:`CsvRows.write`."""
        self._out.write(_writable(json.dumps(row, ensure_ascii=False, allow_nan=False)) + "\n")
        self._out.flush()


def _writable(cell: Any) -> Any:
    r"""Escape what UTF-8 cannot encode: file names may have bytes that are not UTF-8.

    >>> _writable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


FORMATS: Mapping[str, Callable[[TextIO, "EmotionPredictor", bool], CsvRows | JsonRows]] = {
    "csv": CsvRows,
    "jsonl": JsonRows,
}
