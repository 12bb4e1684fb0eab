"""``emotion-recognize predict``: predict from audio files, folders, tables and lines of text."""

import argparse
import functools
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.engines.options import add_engine_options, take_engine
from data_prep.messages import first_few
from data_prep.number_types import positive_number
from data_prep.tables.given_options import pairs_of
from data_prep.tables.table import TableFormat
from emo_fairseq.cli.checkpoints import local_model
from emo_fairseq.cli.models import MODEL, add_model_options, load_model
from emo_fairseq.cli.predict.batches import batches_of
from emo_fairseq.cli.predict.columns import FIELDS, TableOptions
from emo_fairseq.cli.predict.inputs import FILES, TEXTS, UTF8, InputOptions, open_sources
from emo_fairseq.cli.predict.items import Reads, Source
from emo_fairseq.cli.predict.output import check_output, choose_format, open_output
from emo_fairseq.cli.predict.predicting import Predicting
from emo_fairseq.cli.predict.rows import FORMATS, Layout, Writer
from emo_fairseq.cli.predict.segments import open_segments
from emo_fairseq.cli.predict.summary import ITEM, Summary
from emo_fairseq.cli.predict.turn_rows import TURN_FORMATS
from emo_fairseq.cli.transcription import add_transcription_options, load_transcriber_of
from emo_fairseq.cli.turn_files import (
    SUFFIXES,
    add_turn_file_options,
    check_turn_file_options,
    turn_reader,
)
from emo_fairseq.errors import UsageError
from emo_fairseq.modalities import SPEECH

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor
    from emo_fairseq.inference.transcribing import Transcribe

_FAILED = 1  # exit code where an item has failed
_BATCHES_AT_ONCE = 4  # so that rows of similar length can be put together
_EPILOG = """A row of a table keeps its columns, and columns of predictions follow; one of these
whose name the table has, too, begins with model_. An item that cannot be read gets a row with its
error, and does not stop the rest; the exit status is then 1.

  emotion-recognize predict models/toy labels.csv --output predictions.csv
  find recordings -name '*.wav' -print0 | emotion-recognize predict models/toy - --null
  emotion-recognize predict models/toy meeting.wav --segments meeting.rttm --output meeting.TextGrid
  emotion-recognize predict models/toy calls/ --transcribe models/whisper-small"""


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "predict",
        help=about,
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, takes_further=False, loads_models=False)
    option = parser.add_argument
    option("model", type=Path, metavar="MODEL", help=MODEL)
    items = (
        "audio or video files, folders of them, tables, .txt with a text in each line, or - for "
        "standard input"
    )
    option("items", nargs="*", metavar="ITEM", help=items)
    option("--text", help="text to predict, alone or with one audio file")
    kinds = (
        "format to write (default: by the suffix of --output, else csv); rttm, textgrid, eaf, srt "
        "and vtt need --segments"
    )
    option("--format", choices=(*FORMATS, *TURN_FORMATS), help=kinds)
    option("--output", type=Path, metavar="FILE", help="file to write (default: standard output)")
    add_model_options(parser)
    _add_tables(parser)
    _add_lines(parser)
    _add_windows(parser)
    _add_segments(parser)
    add_transcription_options(parser)
    add_engine_options(parser, "processes, each of which loads the model (default: 1)")


def _add_tables(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("tables").add_argument
    column = (
        f"column of {', '.join(FIELDS[:-1])} or {FIELDS[-1]} (repeat for more; FIELD= for none)"
    )
    option("--column", action="append", default=[], metavar="FIELD=COLUMN", help=column)
    raw = "folder that paths of audio are relative to (default: found beside the table)"
    option("--data-raw", type=Path, metavar="DIR", help=raw)
    option("--delimiter", metavar="C", help="character between cells, or 'tab' (default: detected)")
    encoding = "of tables (default: detected) and of .txt (default: utf-8), such as cp1252"
    option("--encoding", metavar="NAME", help=encoding)
    header = "whether the first row has the names of the columns (default: detected)"
    option("--header", choices=("yes", "no"), help=header)
    option("--sheet", metavar="NAME", help="sheet of a spreadsheet (default: the first)")
    quotes = "read quotes as plain characters"
    option("--no-quotes", action="store_true", help=quotes)
    for name in ("text", "audio", "start", "end"):  # names of --column before it was there
        add_pair = functools.partial(_as_pair, name)
        alias = f"--{name}-column"
        option(alias, dest="column", action="append", type=add_pair, help=argparse.SUPPRESS)


def _as_pair(field: str, column: str) -> str:
    return f"{field}={column}"


def _add_lines(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("standard input").add_argument
    lines = "whether lines are paths of audio files or texts (default: texts, if MODEL reads text)"
    option("--lines", choices=(FILES, TEXTS), help=lines)
    nul = "read paths that end with NUL, as find -print0 writes them"
    option("--null", "-0", action="store_true", help=nul)


def _add_windows(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("timeline").add_argument
    option("--timeline", action="store_true", help="write a row for each window of every recording")
    length = "length of a window in seconds (default: %(default)g)"
    option("--window", type=positive_number, default=4.0, metavar="S", help=length)
    hop = "seconds from one window to the next (default: %(default)g)"
    option("--hop", type=positive_number, default=2.0, metavar="S", help=hop)


def _add_segments(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("segments").add_argument
    file = f"write a row for each turn in this file ({SUFFIXES}) of the one recording ITEM"
    option("--segments", type=Path, metavar="FILE", help=file)
    add_turn_file_options(option)


def run(options: argparse.Namespace) -> int:
    """Predict and write a row for each item; return 1 if an item failed.

    Raises:
        UsageError: no such model, or no items.
    """
    engine = take_engine(options).with_default(1)
    has_turns = options.segments is not None
    kind = choose_format(options.format, options.output, has_turns)
    if options.output is not None:
        inputs = [*options.items, *([str(options.segments)] if has_turns else [])]
        check_output(options.output, inputs, options.model)
    # The model and all items are found before the imports that take seconds.
    options.model = local_model(options.model)
    sources = _open(options)
    predictor = load_model(options)
    if options.timeline:
        check_windows(predictor, options)
    transcribe = _transcribe(options, predictor)
    groups = predictor.engine.groups_items
    reads = Reads(
        predictor.modalities,
        transcribe is not None,
        groups,
        predictor.engine.reads_dialogues and not options.timeline,
        tuple(predictor.labels),
    )
    layout = Layout(
        predictor,
        list(dict.fromkeys(name for source in sources for name in source.columns)),
        has_times=options.timeline,
        has_text=not all(source.columns for source in sources),
        transcribes=transcribe is not None,
        recording=Path(options.items[0]).name if has_turns else "",
    )
    at_once = None if groups else _BATCHES_AT_ONCE * options.batch_size
    batches = batches_of(sources, reads, at_once)
    first = next(batches, ())  # a mistake in the command line leaves no file behind
    unit = "window" if options.timeline else "turn" if has_turns else ITEM
    summary = Summary(unit, predictor.modalities if len(predictor.modalities) > 1 else ())
    predicting = Predicting(options, predictor, transcribe, _transcribe, engine)
    with open_output(options.output) as out:
        writer = {**FORMATS, **TURN_FORMATS}[kind](out, layout)
        for row in predicting.rows(chain([first], batches)):
            writer.write(row)
            summary.add(row)
        writer.finish()
    _write_notes(writer, summary)
    return _FAILED if summary.codes else 0


def _open(options: argparse.Namespace) -> Sequence[Source]:
    """Open the items, or the turns of one."""
    if options.segments is None:
        check_turn_file_options(options)
        return open_sources(options.items, _input_options(options), sys.stdin)
    for option in ("text", "timeline", "column", "lines", "null"):
        if getattr(options, option):
            raise UsageError(
                f"--{option}: is not used with --segments; leave one of them out", "option-idle"
            )
    return [open_segments(options.items, options.segments, turn_reader(options))]


def _input_options(options: argparse.Namespace) -> InputOptions:
    if options.null and options.lines == TEXTS:
        raise UsageError(
            "--null: ends paths of files, and --lines texts has none; leave one out", "option-idle"
        )
    delimiter = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    tables = TableOptions(
        pairs_of("--column", options.column, may_be_empty=True),
        TableFormat(delimiter, quotes=not options.no_quotes, sheet=options.sheet),
        options.encoding,
        None if options.header is None else options.header == "yes",
        options.data_raw,
    )
    return InputOptions(
        options.text,
        tables,
        options.encoding or UTF8,
        options.lines,
        ends_with_nul=options.null,
    )


def _write_notes(writer: Writer, summary: Summary) -> None:
    """Write which columns have other names, and the summary, on standard error."""
    renamed = {name: new for name, new in writer.names.items() if new != name}
    if renamed:
        sys.stderr.write(
            f"the table has its own {first_few(renamed, 5)}: of predictions these columns are "
            f"{first_few(renamed.values(), 5)}\n"
        )
    if writer.n_left_out:
        sys.stderr.write(f"cells of the table that hold bytes are left out: {writer.n_left_out}\n")
    for failure in summary.failures:
        sys.stderr.write(f"failed: {failure}\n")
    sys.stderr.write(f"{summary.describe()}\n")


# -- the model -------------------------------------------------------------------------------------


def _transcribe(options: argparse.Namespace, predictor: "EmotionPredictor") -> "Transcribe | None":
    """Load what transcribes; a timeline needs the times of words."""
    transcriber = load_transcriber_of(options, predictor.modalities)
    if transcriber is None or not options.timeline:
        return transcriber
    return functools.partial(transcriber, words=True)


def check_windows(predictor: "EmotionPredictor", options: argparse.Namespace) -> None:
    """Check --window and --hop once, instead of for every recording."""
    from emo_fairseq.inference.timeline import windows

    if SPEECH not in predictor.modalities:
        raise UsageError("--timeline: the model reads no speech; leave it out", "modality-not-read")
    windows(1, options.window, options.hop, predictor.max_seconds())
