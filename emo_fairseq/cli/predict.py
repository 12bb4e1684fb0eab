"""``emotion-recognize predict``: a model's answers about files, tables and lines of text."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from data_prep.commands.number_types import (
    positive_int,
    positive_number,
)
from data_prep.tables.reader import TableFormat
from emo_fairseq.cli.answerable import check_answerable
from emo_fairseq.cli.checkpoints import (
    find_checkpoint,
    is_model_folder,
)
from emo_fairseq.cli.predict_items import (
    STDIN,
    any_segments,
    questions,
)
from emo_fairseq.cli.predict_output import (
    check_output,
    opened_output,
)
from emo_fairseq.cli.predict_question import Question
from emo_fairseq.cli.predict_tables import Columns
from emo_fairseq.errors import UsageError
from emo_fairseq.types import SPEECH

_FAILED = 1  # exit code where an item has failed
_BATCHES_AT_ONCE = 4  # so that rows of similar length can be put together

Answer = dict[str, Any]


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
    option("--timeline", action="store_true", help="a row for each stretch of every recording")
    option(
        "--window", type=positive_number, default=4.0, metavar="S", help="a stretch (default: 4 s)"
    )
    option(
        "--hop", type=positive_number, default=2.0, metavar="S", help="to the next (default: 2 s)"
    )
    option("--batch-size", type=positive_int, default=32, metavar="N", help="default: %(default)s")
    option("--data", type=Path, metavar="DATA", help="of a checkpoint: data dir with tokenizers")
    option("--device", help="cpu, cuda, cuda:1 (default: the GPU, if there is one)")
    option("--onnx", action="store_true", help="run the model folder's model.onnx")


def run(options: argparse.Namespace) -> int:
    """Write the answers; 1 if an item failed.

    Raises:
        UsageError: no such model, or nothing to ask about.
    """
    from emo_fairseq.cli.predict_rows import FORMATS

    if options.output is not None:
        check_output(options.output, options.items, options.model)
    predictor = _predictor(options)
    check_answerable(options.model, predictor.modalities, predictor.missing)
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
    asked = questions(options.items, options.text, columns, sys.stdin)
    first = next(asked, None)  # a mistake in the command line leaves no file behind
    n_failed = 0
    counts: Counter[str] = Counter()
    with opened_output(options.output) as out:
        rows = FORMATS[options.format](out, predictor, has_times)
        for answer in _answers(predictor, _again(first, asked, counts), options):
            rows.write(answer)
            n_failed += "error" in answer
    if n_failed:
        sys.stderr.write(f"{n_failed} of {counts['items']} items failed; see the column error\n")
    return _FAILED if n_failed else 0


def _again(
    first: Question | None, others: Iterator[Question], counts: Counter[str]
) -> Iterator[Question]:
    """All of them, counted."""
    for question in chain([] if first is None else [first], others):
        counts["items"] += 1
        yield question


def _predictor(options: argparse.Namespace) -> Any:
    if options.onnx:
        from emo_fairseq.export.onnx import OnnxPredictor

        if options.device not in (None, "cpu"):
            raise UsageError(f"--onnx --device {options.device}: the graph is run on the CPU")
        return OnnxPredictor.from_folder(options.model)
    from emo_fairseq.inference.predictor import load_predictor

    place = options.model if is_model_folder(options.model) else find_checkpoint(options.model)
    return load_predictor(place, options.device, options.data)


def check_windows(predictor: Any, options: argparse.Namespace) -> None:
    """Refuse once what would be refused of every recording."""
    from emo_fairseq.inference.timeline import windows

    if SPEECH not in predictor.modalities:
        raise UsageError("--timeline: the model reads no speech; leave it out")
    windows(1, options.window, options.hop, predictor.max_seconds())


def _answers(
    predictor: Any, asked: Iterable[Question], options: argparse.Namespace
) -> Iterator[Answer]:
    """Rows in the order of the items."""
    if options.timeline:
        for question in asked:
            yield from _stretches(predictor, question, options)
        return
    # Whoever types lines waits for the answer to each of them.
    at_once = 1 if STDIN in options.items else _BATCHES_AT_ONCE * options.batch_size
    waiting = iter(asked)
    while chunk := tuple(islice(waiting, at_once)):
        yield from _of_chunk(predictor, chunk, options.batch_size)


def _of_chunk(predictor: Any, chunk: tuple[Question, ...], batch_size: int) -> list[Answer]:
    """Ask about many at once; if that fails about each half alone, down to what is to blame."""
    sound = [question for question in chunk if question.error is None]
    if len(sound) < len(chunk):
        found = iter(_of_chunk(predictor, tuple(sound), batch_size) if sound else ())
        return [next(found) if q.error is None else _failure(q, q.error) for q in chunk]
    try:
        predictions = predictor.predict(
            [question.audio for question in chunk],
            [question.text for question in chunk],
            batch_size=batch_size,
        )
    except (UsageError, OSError) as error:  # of the system: a path that it refuses
        if len(chunk) == 1:
            return [_failure(chunk[0], _reason(chunk[0], error, "item 1"))]
        middle = len(chunk) // 2
        halves = chunk[:middle], chunk[middle:]
        return [answer for half in halves for answer in _of_chunk(predictor, half, batch_size)]
    return [
        {"item": question.name, **question.times, **prediction.as_dict()}
        for question, prediction in zip(chunk, predictions, strict=True)
    ]


def _stretches(predictor: Any, question: Question, options: argparse.Namespace) -> Iterator[Answer]:
    if question.error is not None:
        yield _failure(question, question.error)
        return
    try:
        segments = predictor.timeline(
            question.audio,
            window_seconds=options.window,
            hop_seconds=options.hop,
            text=question.text,
            batch_size=options.batch_size,
        )
    except (UsageError, OSError) as error:
        yield _failure(question, _reason(question, error, "the input"))
        return
    for segment in segments:
        yield {"item": question.name, **segment.as_dict()}


def _reason(question: Question, error: Exception, name: str) -> str:
    """What is wrong, without the name that the predictor has for an item: the row has its own."""
    if isinstance(error, OSError):
        return f"{question.audio}: {error.strerror or error}"
    sound = "" if question.audio is None else f" ({question.audio.name})"
    return str(error).removeprefix(f"{name}{sound}: ").removeprefix(f"{name}: ")


def _failure(question: Question, error: str) -> Answer:
    return {"item": question.name, **question.times, "error": error}
