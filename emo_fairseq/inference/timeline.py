"""Predict for every window of a long recording."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.audio.part import SILENCE
from data_prep.audio.segment import AudioSegment, as_segment
from data_prep.files.remote import RemotePath
from data_prep.schema import SAMPLE_RATE
from data_prep.video.segment import VideoSegment
from emo_fairseq.data.input_limits import MIN_SAMPLES
from emo_fairseq.errors import UsageError
from emo_fairseq.inference.arguments import check_batch_size
from emo_fairseq.inference.inputs import Item, ItemReader
from emo_fairseq.inference.item_audio import Audio
from emo_fairseq.inference.prediction import Prediction
from emo_fairseq.inference.stopping import ShouldStop
from emo_fairseq.inference.transcribing import Transcribe
from emo_fairseq.inference.videos import describe_unread, has_pictures
from emo_fairseq.modalities import SPEECH, VIDEO

if TYPE_CHECKING:
    from emo_fairseq.inference.predictor import EmotionPredictor


@dataclass(frozen=True)
class Segment:
    """The prediction for a part of a recording, from `start` to `end` in seconds.

    `speaker` is that of the turn, where it has one.
    """

    start: float
    end: float
    prediction: Prediction
    speaker: str | None = None

    def as_dict(self, embedding: bool = False) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        times = {"start": self.start, "end": self.end}
        speaker = {} if self.speaker is None else {"speaker": self.speaker}
        return {**times, **speaker, **self.prediction.as_dict(embedding)}


def predict_timeline(
    predictor: "EmotionPredictor",
    audio: Audio,
    *,
    window_seconds: float,
    hop_seconds: float,
    sample_rate: float | None,
    text: str | None,
    batch_size: int,
    transcribe: Transcribe | None,
    should_stop: ShouldStop,
) -> list[Segment]:
    """Predict for every window of one recording; see :meth:`EmotionPredictor.timeline`."""
    check_batch_size(batch_size)
    modalities, reader = predictor.modalities, predictor.reader
    if SPEECH not in modalities:
        raise UsageError("timeline: the model reads no speech; use predict", "modality-not-read")
    item = reader.read("the input", audio, text, sample_rate, transcribe)
    if item.samples is None:
        raise UsageError("timeline: there is no audio; give some", "audio-missing")
    slices = windows(len(item.samples), window_seconds, hop_seconds, predictor.max_seconds())
    offset = audio.start if isinstance(audio, AudioSegment) else 0.0
    times = [
        (offset + part.start / SAMPLE_RATE, offset + part.stop / SAMPLE_RATE) for part in slices
    ]
    items = [_cut(reader, item, part) for part in slices]
    video = _video_file_of(audio) if VIDEO in modalities else None
    if VIDEO in modalities and video is None:
        unread = describe_unread(modalities)
        items = [replace(part, warnings=(*part.warnings, unread)) for part in items]
    predictions: list[Prediction] = []
    for start in range(0, len(items), batch_size):
        batch = items[start : start + batch_size]  # features are extracted of these alone
        if video is not None:
            segments = [VideoSegment(video, *x) for x in times[start : start + batch_size]]
            batch = list(map(reader.read_pictures, batch, segments))
        predictions += predictor.predict_items(
            batch, batch_size, truncates_speech=False, should_stop=should_stop
        )
    return [
        Segment(*of_window, prediction)
        for of_window, prediction in zip(times, predictions, strict=True)
    ]


def _video_file_of(audio: Audio) -> Path | None:
    """Return the file of a recording if it holds pictures, too."""
    if not isinstance(audio, str | Path | AudioSegment):
        return None
    path = as_segment(audio).path
    return path if not isinstance(path, RemotePath) and has_pictures(path) else None


def windows(
    n_samples: int, window_seconds: float, hop_seconds: float, max_seconds: float
) -> list[slice]:
    """Divide a recording into windows of equal length; the last one ends with the last sample.

    >>> [(w.start, w.stop) for w in windows(80_000, 2.0, 2.0, 20.0)]
    [(0, 32000), (32000, 64000), (48000, 80000)]

    Args:
        n_samples: at 16 kHz; fewer than a window are one window.
        window_seconds: length of each.
        hop_seconds: from the start of one to that of the next.
        max_seconds: the longest recording that the model reads whole.

    Raises:
        UsageError: windows that leave samples out, or that the model would truncate.
    """
    if not (math.isfinite(window_seconds) and math.isfinite(hop_seconds)):
        raise UsageError(
            f"a window of {window_seconds} s every {hop_seconds} s; give numbers", "window-invalid"
        )
    if window_seconds > max_seconds:
        raise UsageError(
            f"a window of {window_seconds:g} s: the model reads {max_seconds:g} s at once, as in "
            "its training; give so many at most",
            "window-too-long",
        )
    window, hop = round(window_seconds * SAMPLE_RATE), round(hop_seconds * SAMPLE_RATE)
    if not MIN_SAMPLES <= hop <= window:
        raise UsageError(
            f"a window of {window_seconds:g} s every {hop_seconds:g} s; give a hop of at least "
            f"{MIN_SAMPLES / SAMPLE_RATE:g} s, and a window that is no shorter",
            "window-invalid",
        )
    starts = list(range(0, max(1, n_samples - window + 1), hop))
    if starts[-1] + window < n_samples:
        starts.append(n_samples - window)
    return [slice(start, min(start + window, n_samples)) for start in starts]


def _cut(reader: ItemReader, item: Item, window: slice) -> Item:
    """Return one window of an item with a recording.

    It has the item's whole text; of a transcript that has the times of its words, those of the
    window.
    """
    assert item.samples is not None
    start, end = window.start / SAMPLE_RATE, window.stop / SAMPLE_RATE
    name, samples, text = f"{start:g} s to {end:g} s", item.samples[window], item.text
    warnings = tuple(warning for warning in item.warnings if warning != SILENCE)
    if not warnings and not samples.any():
        warnings = (SILENCE,)
    transcript = item.transcript and item.transcript.within(start, end)
    if item.transcript is not None and transcript is not None and item.transcript.words:
        text = reader.read_text(name, transcript.text)
    return Item(name, samples, text, end - start, warnings, transcript)
