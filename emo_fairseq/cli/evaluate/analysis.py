"""Predicted turns of the recordings that reference turns are of, as ``analyze`` finds them."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.files.listing import AUDIO_SUFFIXES
from data_prep.messages import first_few
from emo_fairseq.cli.analyze.progress import RecordingProgress
from emo_fairseq.cli.analyze.turns import turn_options
from emo_fairseq.cli.models import load_model
from emo_fairseq.cli.transcription import load_transcriber
from emo_fairseq.errors import UsageError
from emo_fairseq.evaluation.recordings import EmotionTurn
from emo_fairseq.evaluation.turn_files import TurnFiles

if TYPE_CHECKING:
    from emo_fairseq.inference.conversation import Conversation


def analyze_recordings(options: argparse.Namespace, reference: TurnFiles) -> TurnFiles:
    """Find the turns of each recording of the reference, and predict them.

    Raises:
        UsageError: a recording is not there or cannot be decoded, or the model cannot be loaded.
    """
    wanted = turn_options(options, has_turn_files=False)
    files = find_files(reference.turns, options.data_raw or reference.folder)
    model = argparse.Namespace(
        model=options.models[0],
        data=None,
        device="cpu" if options.cpu else None,
        onnx=False,
        precision=None,
        provider=None,
        face_detector=None,
    )
    predictor, transcribe = load_model(model), load_transcriber(options)
    turns: dict[str, Sequence[EmotionTurn]] = {}
    notes = []
    for name, path in files.items():
        with RecordingProgress(path.name) as progress:
            conversation = predictor.conversation(
                path,
                turn_options=wanted,
                transcribe=transcribe,
                batch_size=options.batch_size,
                progress=progress,
            )
        turns[name] = emotion_turns(conversation)
        counts = [f"{kind} skipped: {count}" for kind, count in conversation.skipped.items()]
        notes += [f"{name}: {note}" for note in (*conversation.notes, *counts)]
    axes = list(dict.fromkeys(axis for of in turns.values() for turn in of for axis in turn.values))
    return TurnFiles(options.models[0], turns, predictor.labels, axes, notes)


def find_files(names: Mapping[str, object] | Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the file of each recording; one that is named without its suffix has any of audio.

    Raises:
        UsageError: one is not there, or is ambiguous.
    """
    files: dict[str, Path] = {}
    missing = []
    for name in names:
        path = folder / name
        if path.is_file():
            files[name] = path
            continue
        beside = [path.with_name(path.name + suffix) for suffix in AUDIO_SUFFIXES]
        existing = [other for other in beside if other.is_file()]
        if len(existing) > 1:
            raise UsageError(
                f"{path}: may be {first_few([other.name for other in existing])}; name the "
                "recording with its suffix",
                "recording-ambiguous",
            )
        if existing:
            files[name] = existing[0]
        else:
            missing.append(name)
    if missing:
        raise UsageError(
            f"{folder}: has none of the recordings {first_few(missing)}; give their folder by "
            "--data-raw",
            "file-missing",
        )
    return files


def emotion_turns(conversation: "Conversation") -> list[EmotionTurn]:
    """Return the turns of a conversation; one that could not be predicted has no emotion."""
    return [
        EmotionTurn(replace(predicted.turn, text=predicted.text), predicted.label, predicted.values)
        for predicted in conversation.turns
    ]
