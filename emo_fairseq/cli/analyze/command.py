"""``emotion-recognize analyze``: the emotions of the turns of recordings, and a page of each."""

import argparse
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.engines import LOCAL, open_pool
from data_prep.engines.options import add_engine_options, take_engine
from data_prep.errors import CodedError
from data_prep.files.remote import require_local
from data_prep.messages import first_few, one_line, sentence_with_code
from data_prep.progress import track
from data_prep.segmentation.labels import without_labels
from emo_fairseq.cli.analyze.finished import FinishedRecordings
from emo_fairseq.cli.analyze.progress import RecordingProgress
from emo_fairseq.cli.analyze.recordings import (
    Recording,
    find_recordings,
    match_turn_files,
    turn_files_beside,
)
from emo_fairseq.cli.analyze.turns import add_turn_options, turn_options
from emo_fairseq.cli.checkpoints import local_model
from emo_fairseq.cli.models import MODEL, add_model_options, load_model
from emo_fairseq.cli.transcription import add_transcription_options, load_transcriber_of
from emo_fairseq.cli.turn_files import (
    SUFFIXES,
    add_turn_file_options,
    check_turn_file_options,
    turn_reader,
)
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.model_folder.files import is_ensemble, is_model_folder
from emo_fairseq.modalities import TEXT

if TYPE_CHECKING:
    from emo_fairseq.inference.conversation import Conversation
    from emo_fairseq.inference.predictor import EmotionPredictor
    from emo_fairseq.inference.transcribing import FasterWhisper

Unit = tuple[Recording, Path | None]  # a recording, and the file of its turns

_FAILED = 1  # exit code where a recording or a turn has failed
_FORMATS = "csv,page"
_EPILOG = """The turns of a recording are those of --segments, or else found by voice activity. Each
is predicted, as part of one dialogue where the model reads dialogues. A turn that cannot be
predicted keeps its row with the error, and a recording that cannot be read does not stop the
others; the exit status is then 1.

  emotion-recognize analyze models/toy meeting.wav --speakers 2
  emotion-recognize analyze models/toy calls/ --speakers channels --output-dir results
  emotion-recognize analyze models/toy a.wav b.wav --segments turns/ --formats csv,textgrid"""


def add(subcommands: Any, about: str) -> None:
    """Add the parser."""
    parser: argparse.ArgumentParser = subcommands.add_parser(
        "analyze",
        help=about,
        description=about,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, takes_further=False, loads_models=False)
    option = parser.add_argument
    option("model", type=Path, metavar="MODEL", help=MODEL)
    option(
        "items", nargs="*", metavar="RECORDING", help="audio or video files, and folders of them"
    )
    folder = "folder to write to (default: %(default)s)"
    option("--output-dir", type=Path, default=Path("conversations"), metavar="DIR", help=folder)
    formats = (
        "formats to write, joined by commas: csv, jsonl, rttm, textgrid, eaf, srt, vtt, "
        "audformat, page (default: %(default)s)"
    )
    option("--formats", default=_FORMATS, metavar="NAMES", help=formats)
    option("--overwrite", action="store_true", help="replace files that exist")
    audio = (
        "embed the sound in the page, link to the recording, or none (default: embed; link from "
        "two hours on)"
    )
    option("--page-audio", choices=("embed", "link", "none"), help=audio)
    add_model_options(parser)
    _add_segments(parser)
    add_turn_options(parser)
    add_transcription_options(parser)
    add_engine_options(parser, "processes, each of which loads the model (default: 1)")


def _add_segments(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("turns from files").add_argument
    file = (
        f"file of turns ({SUFFIXES}) with the name of a recording, or a folder of such files "
        "(repeat for more); the only one of one recording may have any name"
    )
    option("--segments", type=Path, action="append", default=[], metavar="PATH", help=file)
    add_turn_file_options(option)
    option("--encoding", metavar="NAME", help="encoding of files of turns (default: utf-8)")


def run(options: argparse.Namespace) -> int:
    """Analyze recordings; return 1 if one of them, or a turn, failed.

    Raises:
        UsageError: no such model, no recordings, or output that is there.
    """
    from emo_fairseq.cli.analyze.formats import parse_formats

    engine = take_engine(options).with_default(1)
    formats = parse_formats(options.formats)
    if options.page_audio is not None and "page" not in formats:
        raise UsageError("--page-audio: is of the page; add it to --formats", "option-idle")
    if not options.segments:
        check_turn_file_options(options)
    wanted = turn_options(options, has_turn_files=bool(options.segments))
    # The model and all items are found before the imports that take seconds.
    options.model = local_model(options.model)
    recordings = find_recordings(options.items)
    turn_files = match_turn_files(recordings, options.segments, turn_reader(options))
    if not options.segments:
        _note_turn_files(recordings)
    folder = options.output_dir
    targets = {recording: _targets(recording, formats, folder) for recording in recordings}
    finished = FinishedRecordings(options)
    skipped = [x for x in recordings if finished.has(x, turn_files.get(x.path), targets[x])]
    if skipped:
        sys.stderr.write(f"recordings that an earlier run has finished: {len(skipped)}\n")
    left = [recording for recording in recordings if recording not in skipped]
    begun = [x for x in left if finished.has_begun(x, turn_files.get(x.path))]
    inputs = [recording.path for recording in recordings] + list(turn_files.values())
    _check_targets({recording: targets[recording] for recording in left}, inputs, begun, options)
    predictor = load_model(options)
    is_alone = engine.name == LOCAL and engine.workers == 1
    transcriber = load_transcriber_of(options, predictor.modalities)
    analysis = _Analysis(predictor, wanted, transcriber, options, shows_progress=is_alone)
    build = partial(partial, _attempt, analysis) if is_alone else partial(_build, wanted, options)
    units = [(recording, turn_files.get(recording.path)) for recording in left]
    n_failed = 0
    with open_pool(build, engine) as analyze:
        conversations = analyze(units, name_of=lambda number: str(left[number].path))
        conversations = track(conversations, "recordings", len(units), "recording", hidden=is_alone)
        for (recording, turn_file), conversation in zip(units, conversations, strict=True):
            finished.begin(recording, turn_file)
            if _finish(analysis, recording, conversation, targets[recording]):
                finished.add(recording, turn_file, targets[recording])
            else:
                n_failed += 1
    finished.remove()
    return _FAILED if n_failed else 0


def _note_turn_files(recordings: Sequence[Recording]) -> None:
    """Print which files of turns are beside the recordings, and are not read."""
    if beside := turn_files_beside(recordings):
        names = first_few([path.name for path in beside])
        sys.stderr.write(
            f"files of turns beside the recordings, not read: {len(beside)} ({names}); --segments "
            "with their folder reads them\n"
        )


def _finish(
    analysis: "_Analysis",
    recording: Recording,
    conversation: "Conversation | CodedError | OSError",
    targets: Mapping[str, Path],
) -> bool:
    """Write a conversation, or why there is none; return whether all of it was predicted."""
    try:
        if isinstance(conversation, CodedError | OSError):
            raise conversation
        analysis.write(conversation, recording, targets)
    except (CodedError, OSError) as error:
        sys.stderr.write(f"error: {_located(recording, error)}\n")
        return False
    return all(turn.error is None for turn in conversation.turns)


def _build(
    turns: TurnOptions, options: argparse.Namespace
) -> "Callable[[Unit], Conversation | CodedError | OSError]":
    """Load the model in a worker; return the function of a recording."""
    predictor = load_model(options)
    transcriber = load_transcriber_of(options, predictor.modalities)
    analysis = _Analysis(predictor, turns, transcriber, options, shows_progress=False)
    return partial(_attempt, analysis)


def _attempt(analysis: "_Analysis", unit: "Unit") -> "Conversation | CodedError | OSError":
    """Return the conversation of a recording, or the error of one that cannot be read."""
    try:
        return analysis.run(*unit)
    except (CodedError, OSError) as error:
        return error


@dataclass(frozen=True)
class _Analysis:
    """What is done with each recording.

    Attributes:
        predictor: of the model.
        turns: which turns are found.
        transcribe: of turns without a text; None leaves them without one.
        options: of the command line.
        shows_progress: through each recording.
    """

    predictor: "EmotionPredictor"
    turns: TurnOptions
    transcribe: "FasterWhisper | None"
    options: argparse.Namespace
    shows_progress: bool

    def run(self, recording: Recording, turn_file: Path | None) -> "Conversation":
        """Find or read the turns of a recording, and predict them."""
        if self.options.segments and turn_file is None:
            raise UsageError(
                f"{recording.path}: --segments has no file of turns with its name; add "
                f"{recording.path.stem} with one of {SUFFIXES}",
                "segments-missing",
            )
        if not recording.path.is_file():
            raise UsageError(f"{recording.path}: there is no such file", "file-missing")
        read = None
        if turn_file is not None:
            read = turn_reader(self.options)(turn_file, recording=str(recording.path))
            read = without_labels(read, self.predictor.labels)
        with RecordingProgress(recording.path.name) as progress:
            return self.predictor.conversation(
                recording.path,
                read,
                turn_options=self.turns,
                transcribe=self.transcribe,
                batch_size=self.options.batch_size,
                progress=progress if self.shows_progress else None,
            )

    def write(
        self, conversation: "Conversation", recording: Recording, targets: Mapping[str, Path]
    ) -> None:
        """Write a conversation in each format, and print its summary."""
        from emo_fairseq.cli.analyze.formats import FORMATS, Output
        from emo_fairseq.cli.analyze.summary import describe

        for kind, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            page_audio = self.options.page_audio
            FORMATS[kind].write(Output(conversation, recording.path, target, page_audio))
        lines = describe(printable(recording.path), conversation)
        if self.transcribe is None and TEXT in self.predictor.modalities:
            turns = conversation.turns
            if n_unread := sum(turn.error is None and turn.text is None for turn in turns):
                lines += (
                    f"\n  turns without a text, which the model reads: {n_unread}; --transcribe "
                    "WHISPER recognizes their words"
                )
        sys.stdout.write(f"{lines}\n  {', '.join(map(printable, targets.values()))}\n")
        sys.stdout.flush()


def _located(recording: Recording, error: CodedError | OSError) -> str:
    """Return the sentence of an error, which begins with the path of its recording."""
    sentence, path = sentence_with_code(error), printable(recording.path)
    if path in sentence:
        return sentence
    return f"{path}: {sentence.removeprefix(f'{printable(recording.path.name)}: ')}"


def printable(path: str | Path) -> str:
    r"""Return a path on one line, with its bytes escaped that are not UTF-8.

    >>> printable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return one_line(str(path)).encode("utf-8", "backslashreplace").decode("utf-8")


def _targets(recording: Recording, formats: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the path of each format."""
    from emo_fairseq.cli.analyze.formats import FORMATS

    return {kind: folder / f"{recording.name}{FORMATS[kind].suffix}" for kind in formats}


def _check_targets(
    targets: Mapping[Recording, Mapping[str, Path]],
    inputs: Iterable[Path],
    begun: Collection[Recording],
    options: argparse.Namespace,
) -> None:
    """Refuse to write over inputs, over the model, or over what is there without --overwrite.

    Targets of `begun` recordings were written by an interrupted run of the same command.
    """
    folder = options.output_dir
    require_local(folder, "--output-dir", "name a folder here, and copy it when it is written")
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        why = "may not be written to" if parent.is_dir() else "is no folder"
        raise UsageError(f"--output-dir {folder}: {parent} {why}; name another", "file-unwritable")
    is_folder = is_model_folder(options.model) or is_ensemble(options.model)
    if is_folder and folder.resolve().is_relative_to(options.model.resolve()):
        raise UsageError(
            f"--output-dir {folder}: is part of a model; name a folder elsewhere",
            "output-in-model",
        )
    resolved = {path.resolve() for path in inputs}
    of_recordings = ((recording, x) for recording, of in targets.items() for x in of.values())
    for recording, target in of_recordings:
        if target.resolve() in resolved:
            raise UsageError(
                f"--output-dir {folder}: {target} is one of the inputs; name another folder",
                "output-is-input",
            )
        if target.exists() and recording not in begun and not options.overwrite:
            raise UsageError(
                f"--output-dir {folder}: {target} is there; give --overwrite to replace it, or "
                "another folder",
                "output-exists",
            )
