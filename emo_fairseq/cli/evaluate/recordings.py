"""``evaluate --recordings``: score the turns of whole recordings against reference turns."""

import argparse
import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from emo_fairseq.cli import processes
from emo_fairseq.cli.analyze.turns import OPTIONS, add_turn_options
from emo_fairseq.cli.checkpoints import is_model
from emo_fairseq.cli.transcription import add_transcription_options
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.names import OF_RECORDINGS, display_name
from emo_fairseq.evaluation.tables import format_count, format_number, without_nan

if TYPE_CHECKING:
    from emo_fairseq.evaluation.recording_scores import RecordingScores
    from emo_fairseq.evaluation.turn_files import TurnFiles

_BASELINE = "_majority"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of whole recordings."""
    option = parser.add_argument_group("whole recordings").add_argument
    whole = (
        "score whole recordings: DATA is a table of reference turns (recording, start, end, "
        "speaker, text, emotion) or a folder of such files; MODEL analyzes these recordings, or is "
        "the table or folder that `emotion-recognize analyze` wrote"
    )
    option("--recordings", action="store_true", help=whole)
    collar = "leave out so much around the boundaries of reference turns in DER (default: 0)"
    option("--collar", type=_seconds, metavar="SECONDS", help=collar)
    add_turn_options(parser)
    add_transcription_options(parser)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0 up")
    return seconds


def check_options(options: argparse.Namespace) -> None:
    """Check the options of whole recordings.

    Raises:
        UsageError: one does not act.
    """
    if not options.recordings:
        if given := [name for name, value in _own_options(options).items() if value is not None]:
            raise UsageError(f"{given[0]}: is of whole recordings; add --recordings", "option-idle")
        return
    if len(options.models) > 1:
        raise UsageError(
            f"--recordings: scores one model, not {len(options.models)}; give one",
            "recordings-of-several",
        )
    idle = {
        "--split": options.split != "test",
        "--save-predictions": options.save_predictions is not None,
        "--combine": options.combine is not None,
        "--": bool(options.further),
    }
    if given := [name for name, is_given in idle.items() if is_given]:
        raise UsageError(
            f"{given[0]}: is of a data dir, and --recordings scores whole recordings; leave one of "
            "them out",
            "option-idle",
        )


def _own_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that act with --recordings alone."""
    return {"--collar": options.collar, **_analysis_options(options)}


def _analysis_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that act where recordings are analyzed."""
    of_turns = {option.name: getattr(options, field) for field, option in OPTIONS.items()}
    names = ("transcribe", "language", "transcribe_device")
    return of_turns | {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}


def run(options: argparse.Namespace) -> int:
    """Score, and print the metrics.

    Raises:
        UsageError: files that cannot be read or compared.
    """
    from emo_fairseq.evaluation.recording_scores import score_recordings
    from emo_fairseq.evaluation.turn_files import read_turns

    reference = read_turns(options.data)
    hypothesis = _hypothesis(options, reference)
    scores = score_recordings(reference, hypothesis, collar=options.collar or 0.0)
    notes = [*reference.notes, *hypothesis.notes, *scores.notes]
    if options.json:
        processes.write(json.dumps(_as_record(scores, notes), indent=2, allow_nan=False))
        return 0
    for line in (*table_lines(scores), *notes):
        processes.write(line)
    return 0


def _hypothesis(options: argparse.Namespace, reference: "TurnFiles") -> "TurnFiles":
    """Read predicted turns from files, or find and predict them."""
    from emo_fairseq.cli.evaluate.analysis import analyze_recordings
    from emo_fairseq.evaluation.turn_files import has_turns, read_turns

    path = options.models[0]
    if is_model(path) or not has_turns(path):
        return analyze_recordings(options, reference)
    given = [name for name, value in _analysis_options(options).items() if value is not None]
    if given:
        raise UsageError(
            f"{given[0]}: is of turns that are found, and {path} has turns; leave it out",
            "option-idle",
        )
    return read_turns(path)


def table_lines(scores: "RecordingScores") -> Iterator[str]:
    """Yield the table: a line for each metric, with intervals, beside the baseline's."""
    from emo_fairseq.cli.score_table import aligned, estimate_cell

    parts = [
        format_count(len(scores.recordings), "recording"),
        format_count(scores.n_turns, "reference turn"),
        f"{scores.seconds / 60:.1f} min of speech",
    ]
    yield f"{', '.join(parts)}; in parentheses 95% intervals over {scores.unit}"
    baseline = _BASELINE.removeprefix("_")
    cells = [["", "predicted", baseline if scores.labels else ""]]
    for key in _keys(scores):
        beside = scores.estimates.get(key + _BASELINE)
        constant = "" if beside is None else format_number(beside.value)
        axes = scores.axes if key.startswith("time_ccc") else ()
        cells.append([display_name(key, axes), estimate_cell(scores.estimates[key]), constant])
    yield from aligned(cells)


def _keys(scores: "RecordingScores") -> Iterator[str]:
    """Yield the keys of the metrics that were measured, those of a label or axis below the mean."""
    names = [""] + [f"_{name}" for name in (*scores.labels, *scores.axes)]
    keys = dict.fromkeys(key + name for key in OF_RECORDINGS for name in names)
    yield from (key for key in keys if key in scores.estimates)


def _as_record(scores: "RecordingScores", notes: list[str]) -> dict[str, Any]:
    metrics: dict[str, Any] = {}
    for key, estimate in scores.estimates.items():
        if key.endswith(_BASELINE):
            continue
        beside = scores.estimates.get(key + _BASELINE)
        constant = {} if beside is None else {"baseline": beside.value}
        metrics[key] = without_nan({**estimate._asdict(), **constant})
    return {
        "recordings": list(scores.recordings),
        "turns": scores.n_turns,
        "seconds": scores.seconds,
        "labels": list(scores.labels),
        "intervals_over": scores.unit,
        "metrics": metrics,
        "notes": notes,
    }
