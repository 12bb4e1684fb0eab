"""From a recording to its turns, in constant memory: what needs no segmentation by hand."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from data_prep.audio.decoding import AudioError, FloatArray, Source
from data_prep.audio.streaming import load_segments
from data_prep.schema import SAMPLE_RATE
from data_prep.segmentation.turn import Segmentation, Turn
from emo_fairseq.diarization.activity import (
    Activity,
    Progress,
    RecordingActivity,
    channel_powers,
    measure_activity,
    no_progress,
)
from emo_fairseq.diarization.crosstalk import are_alike, are_apart, echoes
from emo_fairseq.diarization.cutting import Cutter
from emo_fairseq.diarization.options import CHANNELS, LONGEST_STRETCH, NO_SPEAKERS, TurnOptions
from emo_fairseq.diarization.speaker_encoder import load_encoder
from emo_fairseq.diarization.speakers import Voice, changes, embed_stretch, label_windows
from emo_fairseq.diarization.voice_activity import SpeechSegmenter, Stretch
from emo_fairseq.diarization.words import SpeechText, TranscribeWords, text_between
from emo_fairseq.errors import UsageError

_COMPARED_SECONDS = 120.0  # of a recording, whose channels are compared


@dataclass
class Speech:
    """A stretch of speech of one channel, its voice and its text.

    Attributes:
        stretch: from which to which sample it is.
        channel: its number, from 1; None = all, mixed to one.
        probabilities: (n_frames,) of speech in the whole channel.
        voice: embeddings of it, where speakers are distinguished by their voices.
        text: its transcript, where there is a transcriber.
    """

    stretch: Stretch
    channel: int | None
    probabilities: FloatArray
    voice: Voice | None = None
    text: SpeechText = field(default_factory=SpeechText)


def find_turns(
    recording: Source,
    options: TurnOptions | None = None,
    *,
    name: str | None = None,
    source_rate: float | None = SAMPLE_RATE,
    transcribe: TranscribeWords | None = None,
    progress: Progress = no_progress,
) -> Segmentation:
    """Find the turns of a recording of any length, in constant memory.

    The recording is decoded once for speech, and once more if there are voices or words to find:
    one stretch of speech of at most 30 s at a time.

    ::

        turns = find_turns(Path("call.wav"), TurnOptions(speakers=2)).turns
        predictor.predict_segments("call.wav", turns)

    Args:
        recording: a path; the content of a file, as bytes or as an open binary file; or an array
            (T,) or (T, channels).
        options: which turns are wanted.
        name: of the recording, for messages; None: its path.
        source_rate: sample rate of an array in Hz.
        transcribe: returns the transcript of samples (n_samples,) at 16 kHz, with the times of
            words, as ``functools.partial(faster_whisper("tiny.en"), words=True)`` does. Without
            times, speech that is cut has no text.
        progress: called with what is done, the seconds that are done, and all seconds or None. An
            exception that it raises ends the work.

    Returns:
        The turns, and counts of the speech that is in none of them.

    Raises:
        UsageError: the recording cannot be read, or holds no speech; a library is not installed.
    """
    options = options or TurnOptions()
    name = name or (str(recording) if isinstance(recording, str | Path) else "the recording")
    is_separate = options.speakers == CHANNELS
    if options.clusters_voices:
        load_encoder()  # before the work that would be lost without it
    try:
        activity = measure_activity(
            recording,
            source_rate=source_rate,
            separate_channels=is_separate,
            progress=progress,
        )
        if is_separate:
            _check_channels(name, activity)
        skipped: Counter[str] = Counter()
        channels = activity.channels
        if is_separate:
            channels = _without_echoes(activity, options, skipped)
        speech = _find_speech(activity, channels, options, skipped)
        if not speech:
            raise _no_speech(name, activity)
        if options.clusters_voices or transcribe is not None:
            describe = _Describer(options.clusters_voices, transcribe, progress)
            describe(recording, source_rate, speech)
        if n_words := sum(part.text.n_dropped for part in speech):
            skipped["words after the end of their speech"] += n_words
    except AudioError as error:
        raise UsageError(
            f"{name}: {error}; give a recording that can be decoded", error.code
        ) from error
    turns = _turns(speech, options)
    notes = list(activity.warnings)
    if options.speakers == NO_SPEAKERS and _are_of_two(recording, source_rate):
        notes.append(
            "its two channels differ, as those of a call, and were mixed; speakers channels "
            "predicts each by itself"
        )
    if options.clusters_voices:
        n_speakers = len({turn.speaker for turn in turns})
        notes.append(f"{n_speakers} speakers" if n_speakers > 1 else "1 speaker")
    return Segmentation(Path(name), turns, dict(skipped), notes)


def _are_of_two(recording: Source, source_rate: float | None) -> bool:
    """Return whether the beginning of a recording has two channels that may be of two speakers."""
    powers = channel_powers(recording, _COMPARED_SECONDS, source_rate=source_rate)
    return len(powers) == 2 and are_apart([Activity(x, x) for x in powers])


def _check_channels(name: str, activity: RecordingActivity) -> None:
    """Raise a `UsageError` if the channels cannot be one of each speaker."""
    if len(activity.channels) == 1:
        raise UsageError(
            f"{name}: has one channel, and so not a channel for each speaker; give speakers "
            "another value than channels",
            "channels-missing",
        )
    if are_alike(activity.channels):
        raise UsageError(
            f"{name}: its {len(activity.channels)} channels hold the same sound, and so not a "
            "speaker each; give speakers another value than channels",
            "channels-alike",
        )


def _without_echoes(
    activity: RecordingActivity, options: TurnOptions, skipped: Counter[str]
) -> Sequence[Activity]:
    """Return the channels without the voices of other channels, of which stretches are counted."""
    channels = []
    for channel, mask in zip(activity.channels, echoes(activity.channels, options), strict=True):
        probabilities = channel.probabilities
        dropped, _ = _stretches(np.where(mask, probabilities, 0), activity.n_samples, options)
        if dropped:
            skipped["echoes of another channel"] += len(dropped)
        kept = np.where(mask, np.float32(0), probabilities)
        channels.append(replace(channel, probabilities=kept))
    return channels


def _find_speech(
    activity: RecordingActivity,
    channels: Sequence[Activity],
    options: TurnOptions,
    skipped: Counter[str],
) -> list[Speech]:
    """Return the stretches of speech in order of time, and count those that are too short."""
    speech = []
    for number, channel in enumerate(channels, start=1):
        stretches, n_too_short = _stretches(channel.probabilities, activity.n_samples, options)
        only = number if options.speakers == CHANNELS else None
        speech += [Speech(stretch, only, channel.probabilities) for stretch in stretches]
        if n_too_short:
            skipped[f"speech of less than {options.min_seconds:g} s"] += n_too_short
    return sorted(speech, key=lambda part: (part.stretch.start, part.stretch.end))


def _stretches(
    probabilities: FloatArray, n_samples: int, options: TurnOptions
) -> tuple[list[Stretch], int]:
    """Return the stretches of speech of a channel, and the number of those that are too short."""
    segmenter = SpeechSegmenter(options, max_seconds=LONGEST_STRETCH)
    stretches = segmenter.feed(probabilities)
    return stretches + segmenter.finish(n_samples), segmenter.n_too_short


@dataclass(frozen=True)
class _Describer:
    """Embeds and transcribes the stretches of a recording, which is decoded once."""

    embeds: bool
    transcribe: TranscribeWords | None
    progress: Progress

    def __call__(
        self, recording: Source, source_rate: float | None, speech: Sequence[Speech]
    ) -> None:
        stage = "speakers" if self.transcribe is None else "words"
        total = speech[-1].stretch.end / SAMPLE_RATE
        segments = [
            (part.stretch.start / SAMPLE_RATE, part.stretch.end / SAMPLE_RATE, part.channel)
            for part in speech
        ]
        for index, samples, _ in load_segments(recording, segments, source_rate=source_rate):
            if isinstance(samples, AudioError):
                raise samples
            part = speech[index]
            if self.embeds:
                part.voice = embed_stretch(part.stretch, samples)
            if self.transcribe is not None:
                part.text = text_between(
                    self.transcribe(samples), part.stretch.start, part.stretch.end
                )
            self.progress(stage, part.stretch.end / SAMPLE_RATE, total)


def _no_speech(name: str, activity: RecordingActivity) -> UsageError:
    seconds = activity.n_samples / SAMPLE_RATE
    if activity.loudest == -math.inf:
        problem = f"{name}: its {seconds:.1f} s are silent throughout; check the recording"
    else:
        problem = (
            f"{name}: no speech was found in its {seconds:.1f} s, whose loudest part is at "
            f"{activity.loudest:.0f} dB of full scale; check the recording, or lower the threshold "
            "of speech"
        )
    return UsageError(problem, "speech-missing")


def _turns(speech: Sequence[Speech], options: TurnOptions) -> list[Turn]:
    """Cut the stretches into turns, in order of time."""
    voices = [part.voice for part in speech if part.voice is not None]
    number = options.speakers if isinstance(options.speakers, int) else None
    labels = iter(label_windows(voices, number) if voices else [])
    turns: list[Turn] = []
    for part in speech:
        cutter = Cutter(part.stretch.start, part.stretch.end, part.probabilities, part.text.words)
        of_windows = next(labels) if part.voice is not None else []
        pieces = _by_speaker(part, cutter, of_windows, _least(options))
        turns += _divided(part, cutter, pieces, options)
    turns.sort(key=lambda turn: (turn.start, turn.end))
    return [replace(turn, where=f"turn {number}") for number, turn in enumerate(turns, start=1)]


def _by_speaker(
    part: Speech, cutter: Cutter, labels: Sequence[int], least: int
) -> list[tuple[int, int, str | None]]:
    """Return (start, end, speaker) of the pieces of a stretch between changes of the speaker.

    A change that would leave less than `least` samples is none.
    """
    start, end = part.stretch.start, part.stretch.end
    if part.voice is None:
        return [(start, end, None if part.channel is None else f"channel {part.channel}")]
    pieces: list[tuple[int, int, str | None]] = []
    speaker = labels[0]
    for low, high, label in changes(part.voice, labels):
        cut = cutter.best(low, high, start + least, end - least)
        if cut is not None:
            pieces.append((start, cut, f"speaker {speaker + 1}"))
            start, speaker = cut, label
    return [*pieces, (start, end, f"speaker {speaker + 1}")]


def _divided(
    part: Speech,
    cutter: Cutter,
    pieces: Sequence[tuple[int, int, str | None]],
    options: TurnOptions,
) -> list[Turn]:
    """Return the turns of a stretch: its pieces, the long ones cut, each with its words."""
    most = round(options.max_seconds * SAMPLE_RATE)
    least = _least(options)
    spans: list[tuple[int, int, str | None]] = []
    for start, end, speaker in pieces:
        cuts = cutter.divided(start, end, most, least)
        borders = [start, *cuts, end]
        spans += [(*span, speaker) for span in itertools.pairwise(borders)]
    texts = part.text.divided([start for start, _, _ in spans[1:]])
    return [
        Turn(_seconds(start), _seconds(end), speaker, text, channel=part.channel)
        for (start, end, speaker), text in zip(spans, texts, strict=True)
    ]


def _least(options: TurnOptions) -> int:
    """Return the samples that a part of speech has at least where it is cut."""
    return max(1, round(options.min_seconds * SAMPLE_RATE))


def _seconds(sample: int) -> Decimal:
    """Return the time of a sample in whole milliseconds, rounded down.

    >>> _seconds(16_010)
    Decimal('1.000')
    """
    return Decimal(sample * 1000 // SAMPLE_RATE).scaleb(-3)
