"""Predict for the turns of a recording, as one dialogue.

The recording is decoded once, a turn at a time, so that its length does not matter. A turn that
cannot be predicted is kept with its error.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.audio.decoding import AudioError, FloatArray, Source
from data_prep.audio.streaming import load_segments, stream_audio
from data_prep.errors import CodedError
from data_prep.schema import SAMPLE_RATE
from data_prep.segmentation.turn import Segmentation, Turn, check_turns
from data_prep.video.segment import VideoSegment
from emo_fairseq.diarization.activity import Progress
from emo_fairseq.diarization.options import TurnOptions
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.arguments import check_batch_size
from emo_fairseq.inference.conversation import Conversation, PredictedTurn, axes_of, mark_shifts
from emo_fairseq.inference.inputs import Item
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.stopping import ShouldStop, StoppedError
from emo_fairseq.inference.transcribing import FasterWhisper, Transcribe
from emo_fairseq.inference.videos import describe_unread, has_pictures
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor

Samples = FloatArray | AudioError

NO_SPEECH = "speech-missing"  # code of the error of a recording in which nobody speaks
_STAGE = "emotions"


def predict_conversation(
    predictor: "EmotionPredictor",
    recording: Source,
    turns: Segmentation | Sequence[Turn] | None,
    *,
    name: str | None,
    turn_options: TurnOptions | None,
    transcribe: Transcribe | None,
    batch_size: int,
    progress: Progress | None,
    should_stop: ShouldStop,
) -> Conversation:
    """Predict for the turns of one recording; see :meth:`EmotionPredictor.conversation`."""
    check_batch_size(batch_size)
    name = name or (Path(recording).name if isinstance(recording, str | Path) else "the recording")
    sound = _Sound(name, recording, SAMPLE_RATE if isinstance(recording, np.ndarray) else None)
    reads_text = TEXT in predictor.modalities
    reads_audio = SPEECH in predictor.modalities or (reads_text and transcribe is not None)

    def report(stage: str, done: float, total: float | None) -> None:
        if should_stop():
            raise StoppedError
        if progress is not None:
            progress(stage, done, total)

    if turns is None:
        if not reads_audio:
            raise UsageError(
                f"{name}: the model reads {' and '.join(predictor.modalities)}; give turns with "
                "their texts, or transcribe, which makes text of the recording",
                "modality-not-read",
            )
        turns = _find_turns(sound, turn_options, transcribe, report)
        if isinstance(transcribe, FasterWhisper):
            transcribe = None  # a turn without a text has no words
    elif not isinstance(turns, Segmentation):
        turns = Segmentation(Path(name), turns)
    ordered, cut = check_turns(turns.path, turns.turns) if turns.turns else ([], {})
    skipped = Counter({**turns.skipped, **cut})
    if not reads_text and (n_texts := sum(turn.text is not None for turn in ordered)):
        skipped["texts of turns, which the model does not read"] = n_texts

    seconds = sound.seconds(is_needed=reads_audio)
    video = _video_of(predictor, recording)
    unread = VIDEO in predictor.modalities and video is None
    reader = _TurnReader(predictor, sound if reads_audio else None, transcribe, reads_text, video)
    predict = functools.partial(
        predictor.predict_dialogue, batch_size=batch_size, should_stop=should_stop
    )
    predicted = _predict(predict, reader, ordered, lambda done: report(_STAGE, done, seconds))
    notes = [*turns.notes, *_note_labels(ordered if reads_text else [], predictor.labels)]
    return Conversation(
        name,
        seconds,
        predictor.labels,
        axes_of(predictor),
        mark_shifts(predicted),
        dict(skipped),
        [*notes, describe_unread(predictor.modalities)] if unread else notes,
    )


def _video_of(predictor: "EmotionPredictor", recording: Source) -> Path | None:
    """Return the recording as a video; None where it has no pictures, or the model reads none."""
    if VIDEO not in predictor.modalities or not isinstance(recording, str | Path):
        return None
    return Path(recording) if has_pictures(Path(recording)) else None


def _note_labels(turns: Sequence[Turn], labels: Sequence[str]) -> Iterator[str]:
    """Yield a note if texts begin with labels, as those of subtitles do that analyze writes."""
    marks = tuple(f"[{label}]" for label in labels)
    if marks and (n_marked := sum((turn.text or "").startswith(marks) for turn in turns)):
        yield (
            "texts that begin with an emotion in brackets, as subtitles of analyze do: "
            f"{n_marked}; the model reads it as a word, so give a table of turns in place of the "
            "subtitles"
        )


@dataclass(frozen=True)
class _Sound:
    """A recording, and its name for messages."""

    name: str
    source: Source
    source_rate: float | None

    def seconds(self, is_needed: bool) -> float | None:
        """Return its length; None if it cannot be decoded, and need not be."""
        try:
            with stream_audio(self.source, source_rate=self.source_rate) as stream:
                if stream.seconds is not None:
                    return stream.seconds
                return sum(map(len, stream)) / SAMPLE_RATE
        except AudioError as error:
            if is_needed:
                raise UsageError(f"{self.name}: {error}", error.code) from error
            return None

    def segments(self, turns: Sequence[Turn]) -> Iterator[tuple[Samples, tuple[str, ...]]]:
        """Yield the samples of each turn, or their AudioError, with their warnings.

        Args:
            turns: in order of start.
        """
        parts = [(float(turn.start), float(turn.end), turn.channel) for turn in turns]
        loaded: dict[int, tuple[Samples, tuple[str, ...]]] = {}  # until those before are, too
        number = 0
        error = AudioError("cannot be decoded", "audio-unreadable")
        try:
            for index, samples, warnings in load_segments(
                self.source, parts, source_rate=self.source_rate
            ):
                loaded[index] = samples, warnings
                while number in loaded:
                    yield loaded.pop(number)
                    number += 1
        except AudioError as of_recording:
            error = of_recording
        for index in range(number, len(turns)):
            yield loaded.pop(index, (error, ()))


def _find_turns(
    sound: _Sound,
    options: TurnOptions | None,
    transcribe: Transcribe | None,
    report: Progress,
) -> Segmentation:
    """Find the turns of a recording; none where nobody speaks.

    Whisper gives the times of words, so that text and sound of a turn agree. Another function
    transcribes whole turns, once they are found.
    """
    from emo_fairseq.diarization.turns import find_turns

    words = None
    if isinstance(transcribe, FasterWhisper):
        words = functools.partial(transcribe, words=True)
    try:
        return find_turns(
            sound.source,
            options,
            name=sound.name,
            source_rate=sound.source_rate,
            transcribe=words,
            progress=report,
        )
    except UsageError as error:
        if error.code != NO_SPEECH:
            raise
        note = str(error).removeprefix(f"{sound.name}: ")
        return Segmentation(Path(sound.name), [], notes=[note])


@dataclass(frozen=True)
class _TurnReader:
    """Reads turns as items.

    Attributes:
        predictor: that they are for.
        sound: that they are cut from; None where no audio is read.
        transcribe: of turns without a text.
        reads_text: whether the model does.
        video: that they are cut from; None where none is read.
    """

    predictor: "EmotionPredictor"
    sound: _Sound | None
    transcribe: Transcribe | None
    reads_text: bool
    video: Path | None = None

    def read(self, turns: Sequence[Turn]) -> Iterator[Item | CodedError]:
        """Yield the item of each turn, or why there is none.

        Args:
            turns: in order of start.
        """
        nothing: Iterator[tuple[Samples | None, tuple[str, ...]]] = repeat((None, ()))
        segments = nothing if self.sound is None else self.sound.segments(turns)
        for turn, (samples, warnings) in zip(turns, segments, strict=False):
            if isinstance(samples, AudioError):
                yield samples
                continue
            text = turn.text if self.reads_text else None
            try:
                video = None
                if self.video is not None:
                    video = VideoSegment(self.video, float(turn.start), float(turn.end))
                item = self.predictor.read_item(
                    samples,
                    text,
                    SAMPLE_RATE,
                    self.transcribe,
                    video=video,
                    speaker=turn.speaker,
                    name=_name_of(turn),
                )
            except UsageError as error:
                yield _without_name(turn, error)
                continue
            yield replace(item, warnings=tuple(dict.fromkeys([*warnings, *item.warnings])))


def _predict(
    predict: Callable[[Iterator[Item]], list[Prediction]],
    reader: _TurnReader,
    turns: Sequence[Turn],
    report: Callable[[float], object],
) -> list[PredictedTurn]:
    """Predict turns as those of one dialogue, without those that cannot be read."""
    errors: dict[int, CodedError] = {}

    def items(among: Sequence[int]) -> Iterator[Item]:
        read = reader.read([turns[number] for number in among])
        for number, item in zip(among, read, strict=True):
            report(float(turns[number].start))
            if isinstance(item, Item):
                yield item
            else:
                errors[number] = item

    everyone = range(len(turns))
    try:
        predictions = iter(predict(items(everyone)))
    except UsageError:
        # Of one turn, such as features that its length is too short for: the others have no error.
        errors |= _find_errors(predict, reader, turns)
        rest = [number for number in everyone if number not in errors]
        if not rest:
            raise
        predictions = iter(predict(items(rest)))
    return [
        PredictedTurn(turn, error=errors[number])
        if number in errors
        else PredictedTurn(turn, next(predictions))
        for number, turn in enumerate(turns)
    ]


def _find_errors(
    predict: Callable[[Iterator[Item]], list[Prediction]],
    reader: _TurnReader,
    turns: Sequence[Turn],
) -> dict[int, CodedError]:
    """Return the errors of turns by their numbers, each predicted alone."""
    errors: dict[int, CodedError] = {}
    for number, item in enumerate(reader.read(turns)):
        try:
            if not isinstance(item, Item):
                raise item
            predict(iter([item]))
        except UsageError as error:
            errors[number] = _without_name(turns[number], error)
    return errors


def _name_of(turn: Turn) -> str:
    """Return the name of a turn as an item, for messages."""
    return f"the turn from {turn.start:f} s to {turn.end:f} s"


def _without_name(turn: Turn, error: UsageError) -> UsageError:
    """Return the error of an item as that of its turn, which has its times."""
    return UsageError(str(error).removeprefix(f"{_name_of(turn)}: "), error.code)
