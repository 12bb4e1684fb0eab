"""Predict for the turns of a recording that are known, as one dialogue."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.audio.segment import AudioSegment
from data_prep.segmentation.turn import Turn
from data_prep.video.segment import VideoSegment
from emo_fairseq.inference.chunks import ONE_DIALOGUE
from emo_fairseq.inference.stopping import ShouldStop
from emo_fairseq.inference.timeline import Segment
from emo_fairseq.inference.transcribing import Transcribe
from emo_fairseq.inference.videos import has_pictures
from emo_fairseq.modalities import SPEECH, TEXT, VIDEO

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor


def predict_segments(
    predictor: "EmotionPredictor",
    recording: str | Path,
    turns: Sequence[Turn],
    *,
    batch_size: int,
    transcribe: Transcribe | None,
    should_stop: ShouldStop,
) -> list[Segment]:
    """Predict for the turns of one recording; see :meth:`EmotionPredictor.predict_segments`."""
    modalities, path = predictor.modalities, Path(recording)
    reads_audio = SPEECH in modalities or transcribe is not None
    reads_video = VIDEO in modalities and has_pictures(path)
    order = sorted(range(len(turns)), key=lambda number: (turns[number].start, turns[number].end))
    in_order = [turns[number] for number in order]
    times = [(float(turn.start), float(turn.end)) for turn in in_order]
    sounds = [
        AudioSegment(path, *time, turn.channel) if reads_audio else None
        for turn, time in zip(in_order, times, strict=True)
    ]
    in_time_order = predictor.predict(
        sounds,
        [turn.text if TEXT in modalities else None for turn in in_order],
        video=[VideoSegment(path, *time) if reads_video else None for time in times],
        batch_size=batch_size,
        transcribe=transcribe,
        speaker=[turn.speaker for turn in in_order],
        dialogue=ONE_DIALOGUE,
        should_stop=should_stop,
    )
    predictions = dict(zip(order, in_time_order, strict=True))
    return [
        Segment(float(turn.start), float(turn.end), predictions[number], turn.speaker)
        for number, turn in enumerate(turns)
    ]
