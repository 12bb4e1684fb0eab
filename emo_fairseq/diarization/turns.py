"""From a recording to its turns, in constant memory: what needs no segmentation by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from data_prep.audio.decoding import AudioError, AudioLimits, Source
from data_prep.audio.streaming import UNLIMITED
from data_prep.manifest.records import SAMPLE_RATE
from data_prep.segmentation.turn import Segmentation, Turn
from emo_fairseq.diarization.activity import Listening, Progress, listen, no_progress
from emo_fairseq.diarization.options import CHANNELS, TurnOptions
from emo_fairseq.diarization.voice_activity import SpeechSegmenter, Stretch
from emo_fairseq.errors import UsageError


@dataclass(frozen=True)
class Piece:
    """Speech that becomes one turn, from sample `start` to before sample `end` at 16 kHz."""

    start: int
    end: int
    channel: int | None
    speaker: str | None
    text: str | None = None


def find_turns(
    recording: Source,
    options: TurnOptions | None = None,
    *,
    name: str | None = None,
    source_rate: float | None = SAMPLE_RATE,
    progress: Progress = no_progress,
    limits: AudioLimits = UNLIMITED,
) -> Segmentation:
    """Find the turns of a recording of any length.

    ::

        turns = find_turns(Path("call.wav"), TurnOptions(speakers=2)).turns
        predictor.predict_segments("call.wav", turns)

    Args:
        recording: a path; the content of a file, as bytes or as an open binary file; or an array
            (T,) or (T, channels).
        options: which turns are wanted.
        name: of the recording, for messages; None: its path.
        source_rate: sample rate of an array in Hz.
        progress: called with what is done, the seconds that are done, and all seconds or None. An
            exception that it raises ends the work.
        limits: limits of rate, channels and length.

    Returns:
        The turns, and counts of the speech that is in none of them.

    Raises:
        UsageError: the recording cannot be read, or holds no speech; a library is not installed.
    """
    options = options or TurnOptions()
    name = name or (str(recording) if isinstance(recording, str | Path) else "the recording")
    is_separate = options.speakers == CHANNELS
    try:
        heard = listen(
            recording,
            source_rate=source_rate,
            separate_channels=is_separate,
            progress=progress,
            limits=limits,
        )
    except AudioError as error:
        raise UsageError(
            f"{name}: {error}; give a recording that can be decoded", error.code
        ) from error
    if is_separate and len(heard.channels) == 1:
        raise UsageError(
            f"{name}: has one channel, and so not a channel for each speaker; give speakers "
            "another value than channels",
            "channels-missing",
        )
    skipped: Counter[str] = Counter()
    pieces: list[Piece] = []
    for channel, stretches in enumerate(_stretches(heard, options, skipped), start=1):
        number = channel if is_separate else None
        speaker = f"channel {channel}" if is_separate else None
        pieces += [Piece(part.start, part.end, number, speaker) for part in stretches]
    if not pieces:
        raise _no_speech(name, heard)
    return Segmentation(Path(name), _turns(pieces), dict(skipped), list(heard.warnings))


def _stretches(
    heard: Listening, options: TurnOptions, skipped: Counter[str]
) -> list[list[Stretch]]:
    """Return the stretches of speech of each channel, and count those that are too short."""
    found = []
    for channel in heard.channels:
        segmenter = SpeechSegmenter(options)
        stretches = segmenter.feed(channel.probabilities)
        found.append(stretches + segmenter.finish(heard.n_samples))
        if segmenter.n_too_short:
            skipped[f"speech of less than {options.min_seconds:g} s"] += segmenter.n_too_short
    return found


def _no_speech(name: str, heard: Listening) -> UsageError:
    return UsageError(
        f"{name}: no speech was found in its {heard.n_samples / SAMPLE_RATE:.1f} s, whose loudest "
        f"part is at {heard.loudest:.0f} dB of full scale; check the recording, or lower the "
        "threshold of speech",
        "speech-missing",
    )


def _turns(pieces: Sequence[Piece]) -> list[Turn]:
    ordered = sorted(pieces, key=lambda piece: (piece.start, piece.end))
    return [
        Turn(
            _seconds(piece.start),
            _seconds(piece.end),
            piece.speaker,
            piece.text,
            f"turn {number}",
            piece.channel,
        )
        for number, piece in enumerate(ordered, start=1)
    ]


def _seconds(sample: int) -> Decimal:
    """Return the time of a sample in whole milliseconds, rounded down.

    >>> _seconds(16_010)
    Decimal('1.000')
    """
    return Decimal(sample * 1000 // SAMPLE_RATE).scaleb(-3)
